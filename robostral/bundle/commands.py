"""`robostral bundle keygen | sign | verify | show`."""

from pathlib import Path

from robostral.bundle.trust import Plant


def keygen(name: str, folder: Path = Path()) -> None:
    """Make an Ed25519 key pair: NAME.key to sign with, NAME.pub to trust.

    Args:
        name: Name of the key.
        folder: Where the two files go.
    """
    from robostral.bundle.trust import default_folder, generate

    private, public = generate(name, folder)
    print(f"wrote '{private}' (secret, mode 0600) and '{public}'")
    print(f"to trust what it signs: copy '{public}' into '{default_folder()}'")


def sign(bundle: Path, key: Path) -> None:
    """Check a bundle folder and sign its manifest.

    Args:
        bundle: The bundle's folder.
        key: Private key in PEM, as `keygen` writes it.
    """
    from robostral.bundle.write import sign as sign_folder

    print(f"wrote '{sign_folder(bundle, key)}'")


def verify(bundle: str, plant: Plant = "twin", trust: Path | None = None) -> None:
    """Check every byte of a bundle and its signature; exit 0 if all holds, 2 with the reason if not.

    Args:
        bundle: A folder, a zip of one, or a name in a registered store.
        plant: `twin` takes the demo key too, `real` only keys in the trust folder.
        trust: Folder of trusted *.pub files; the one in your configuration if not given.
    """
    from robostral.bundle.read import verify as verify_bundle

    print(f"ok: {verify_bundle(bundle, plant=plant, trusted_keys=trust)}")


def show(bundle: str, trust: Path | None = None) -> None:
    """Print the manifest and the contract of a bundle.

    Args:
        bundle: A folder, a zip of one, or a name in a registered store.
        trust: Folder of trusted *.pub files; the one in your configuration if not given.
    """
    from robostral.bundle.show import show as show_bundle

    show_bundle(bundle, trust)


COMMANDS = {"keygen": keygen, "sign": sign, "verify": verify, "show": show}
