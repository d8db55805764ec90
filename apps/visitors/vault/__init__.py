"""The vault: what is kept of a face can be opened only for the person, purpose and time signed for.

Design. A template is a vector of numbers made from a face; whoever has it can find that person in
any picture, for life. So it never lies anywhere in the open:

- Each visitor has a random 32-byte data key. `wrap` seals it with one generation of the keyring,
  bound to organization, visitor and generation: a wrapped key moved to another row does not open.
- Each template is sealed with AES-256-GCM under a key that HKDF-SHA256 derives from the data key
  for one purpose and one model pack. GCM alone lets one ciphertext be made to open under two keys,
  so the derivation also gives a 32-byte commitment, stored in the header and compared in constant
  time before anything is decrypted.
- What it was sealed for, `Binding`, is associated data, each field with its length: organization,
  scope (every store that the consent names), visitor, template, pack and version, purpose, consent,
  and the consent's hard end. After swapping two rows, extending a deadline or a consent's list of
  stores in SQL, or asking for another purpose, it does not open.
- The vector in it was turned by a secret of its organization (`apps.recognition.spaces`), which
  lies wrapped like a data key. That hides nothing from whoever opens both: it makes a template of
  one organization useless in another, and lets a known secret be replaced without a single visitor.
- A template for a pass is sealed a second time, around the first seal, under a random share that
  exists only in the customer's pass. Keyring and database together do not open it.
- The keyring can be rotated; live data keys are then rewrapped to the newest generation and
  the old one is destroyed. A deleted row lingers in the database's files and in backups; destroying
  the generation that wrapped its key turns what lingers into noise.

It refuses: to open anything that differs in one bit from what was sealed; to tell which part
differed; to show, log, pickle or copy a key; to read a key file that others can read; to destroy
the newest generation. It has no clock: whoever opens a template first asks the database whether its
time is over. It cannot take back what a process has already opened, and Python cannot wipe memory:
the process that holds keys is its own, and small.
"""

from apps.visitors.vault.custodian import CustodianFailed
from apps.visitors.vault.envelope import (
    Binding,
    OpenKey,
    Sealed,
    Share,
    Use,
    generation_of,
    new_data_key,
    new_share,
    rewrap,
    seal,
    seal_for_pass,
    unseal,
    unseal_all,
    unseal_with_pass,
    unwrap,
    wrap,
)
from apps.visitors.vault.keyring import (
    FileKeyring,
    Generation,
    Keyring,
    NewestGeneration,
    SealBroken,
    UnknownGeneration,
)
from apps.visitors.vault.opening import create_keyring, open_keyring
from apps.visitors.vault.rotation import (
    Rotation,
    new_rotation,
    rewrap_rotation,
    unwrap_rotation,
    wrap_rotation,
)

__all__ = [
    "Binding",
    "CustodianFailed",
    "FileKeyring",
    "Generation",
    "Keyring",
    "NewestGeneration",
    "OpenKey",
    "Rotation",
    "SealBroken",
    "Sealed",
    "Share",
    "UnknownGeneration",
    "Use",
    "create_keyring",
    "generation_of",
    "new_data_key",
    "new_rotation",
    "new_share",
    "open_keyring",
    "rewrap",
    "rewrap_rotation",
    "seal",
    "seal_for_pass",
    "unseal",
    "unseal_all",
    "unseal_with_pass",
    "unwrap",
    "unwrap_rotation",
    "wrap",
    "wrap_rotation",
]
