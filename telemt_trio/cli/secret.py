"""``telemt-trio secret``: a new secret in every form."""

import click

__all__ = ["secret"]


@click.command(short_help="Print a new secret in every form.")
@click.option("--domain", metavar="D", help="The fronted site, for the ee form.")
def secret(domain: str | None) -> None:
    """Print a new secret: as it stands in the file, and in the forms that clients take."""
    import secrets

    from telemt_trio.config.values import Domain
    from telemt_trio.wire.secrets import Mode, ProxySecret, generate_key

    front = None if domain is None else Domain(domain)
    key = generate_key(secrets.token_bytes)
    rows: list[tuple[str, Mode, str | None]] = [
        ("in telemt.toml, and classic", Mode.CLASSIC, None),
        ("secure", Mode.SECURE, None),
    ]
    if front is not None:
        rows.append((f"tls {front}", Mode.TLS, front))
    for label, mode, name in rows:
        click.echo(f"{ProxySecret(key, mode, name).hex()}  {label}")
