"""The keyring as the settings name it."""

from apps.config.environment import Environment
from apps.visitors.vault.custodian import Custodian, custodian_of
from apps.visitors.vault.keyring import FileKeyring


def open_keyring(env: Environment) -> FileKeyring:
    """Read the keyring. Raises KeyFileError, which says what to do."""
    return FileKeyring.load(env.keyring_path, _custodian(env))


def create_keyring(env: Environment) -> FileKeyring:
    """Make the keyring with its first generation. Raises KeyFileError."""
    return FileKeyring.create(env.keyring_path, _custodian(env))


def _custodian(env: Environment) -> Custodian | None:
    return custodian_of(env.custodian, env.keyring_secret) if env.custodian else None
