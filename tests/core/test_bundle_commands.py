"""`robostral bundle ...`: one line and exit code 0, or one line that says why not and exit code 2."""

import subprocess
import sys

import pytest
import tiny_bundle

from robostral.cli import call


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def folder(home):
    return tiny_bundle.write(home / "tiny-v1")


def lines(capsys) -> tuple[list[str], list[str]]:
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def test_keygen_sign_trust_verify(folder, home, capsys):
    assert call(["bundle", "keygen", "owner", "--folder", "keys"]) == 0
    out, _ = lines(capsys)
    assert "keys/owner.key" in out[0]
    assert str(home / "config" / "robostral" / "trust") in out[1]
    assert call(["bundle", "sign", "tiny-v1", "keys/owner.key"]) == 0
    lines(capsys)
    assert call(["bundle", "verify", "tiny-v1", "--plant", "real", "--trust", "keys"]) == 0
    out, err = lines(capsys)
    assert (len(out), err) == (1, [])
    assert out[0].startswith("ok: tiny-v1 ")
    assert "signed by 'owner'" in out[0]


@pytest.mark.parametrize(
    ("args", "fact"),
    [
        (["verify", "tiny-v1"], "bundle 'tiny-v1' refused: it is not signed"),
        (["verify", "tiny-v1", "--plant", "real"], "a real driver needs a bundle signed by a key"),
        (["verify", "./absent"], "no bundle at './absent'"),
        (["verify", "absent-v1"], "unknown bundle 'absent-v1'"),
        (["verify", "tiny-v1", "--trust", "absent"], "no folder of trusted keys 'absent'"),
        (["verify", "tiny-v1", "--plant", "toy"], "invalid choice 'toy'"),
        (["verify"], "Missing from robostral bundle verify: BUNDLE; see 'robostral bundle verify --help'"),
        (["verfy", "tiny-v1"], "unknown bundle command 'verfy'; did you mean 'verify'?"),
        (["sign", "tiny-v1", "absent.key"], "cannot read the key 'absent.key'"),
        (["sign", "absent", "absent.key"], "'absent' is not a folder"),
        (["keygen", "../owner"], "is not a plain name"),
        (["show", "config"], "no bundle at|unknown bundle"),
        ([], "Expected one of {keygen, sign, verify, show}"),
    ],
)
def test_bad_input_is_one_line_and_code_2(folder, capsys, args, fact):
    assert call(["bundle", *args]) == 2
    out, err = lines(capsys)
    assert (out, len(err)) == ([], 1)
    assert err[0].startswith("robostral: ")
    assert any(part in err[0] for part in fact.split("|"))


def test_one_flipped_bit_is_code_2(folder, capsys):
    raw = bytearray((folder / "model.onnx").read_bytes())
    raw[200] ^= 4
    (folder / "model.onnx").write_bytes(raw)
    assert call(["bundle", "verify", "tiny-v1"]) == 2
    assert lines(capsys)[1] == [
        "robostral: bundle 'tiny-v1' refused: file 'model.onnx' is not the one that the manifest lists "
        "(SHA-256 or size differs)"
    ]


def test_show_prints_manifest_and_contract(folder, capsys):
    assert call(["bundle", "show", "tiny-v1"]) == 0
    text = capsys.readouterr().out
    for word in ("tiny-v1", "nobody: twins only", "Apache-2.0", "99.50%", "Tiny-v0", "joint_position", "q_min", "q_c"):
        assert word in text


def test_verify_needs_the_core_only(folder):
    program = (
        "import sys; from robostral.cli import call; code = call(['bundle', 'show', 'tiny-v1'])\n"
        "heavy = {'onnxruntime', 'onnx', 'torch', 'pybullet', 'gymnasium', 'google.protobuf'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
