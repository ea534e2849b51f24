"""The ONNX file gives PyTorch's answers, knows what it is, and is written whole or not at all."""

import io
import json
import sys
from contextlib import chdir, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from chestflow import cli
from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.models import cnn, inference
from chestflow.own_images import export, model


@pytest.fixture(scope="module")
def exported(workspace) -> Path:
    with chdir(workspace), redirect_stdout(io.StringIO()) as said:
        export.main(cli.parse(["export", "--run", "pneumonia", "--out", "x/net.onnx"]))
    assert said.getvalue().startswith("export: x/net.onnx, equal to PyTorch within 1e-05 on")
    assert "PHANTOM" in said.getvalue() and "not for diagnosis" in said.getvalue()
    assert [path.name for path in (workspace / "x").iterdir()] == ["net.onnx"]
    return workspace / "x/net.onnx"


@pytest.fixture
def network(workspace, monkeypatch) -> model.Model:
    monkeypatch.chdir(workspace)
    return model.load("pneumonia", reading.params("params.yaml"))


def test_the_file_gives_pytorchs_answers(exported, network, splits):
    noise = np.random.default_rng(0).integers(0, 256, (33, 28, 28), np.uint8)
    black = np.zeros((1, 28, 28), np.uint8)
    images = np.concatenate([splits["test"].images, noise, black])
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    both, calibrated = session.run(["probability", "calibrated"], {"images": images})
    rows = network.answers(images)
    raw, expected = (
        np.array([row[key] for row in rows]) for key in ("raw_probability", "probability")
    )
    assert np.abs(both - np.stack([1 - raw, raw], axis=1)).max() < 1e-5
    assert np.abs(calibrated - expected).max() < 1e-5
    alone = session.run(["calibrated"], {"images": images[:1]})[0]
    assert alone == pytest.approx(calibrated[:1], abs=1e-5)


def test_the_calibration_of_an_overconfident_network_is_finite(network, splits):
    """Where single precision makes a probability 0 or 1, its logit has to stay finite."""
    with torch.no_grad():
        network.classifier.head.weight.mul_(1000)
    images = torch.from_numpy(splits["test"].images[:50])
    both, calibrated = export.Exported(network).eval()(images)
    assert {0.0, 1.0} <= set(both.flatten().tolist())
    expected = network.calibrated(inference.probabilities(network.classifier, images))
    assert np.abs(calibrated.detach().numpy() - expected).max() < 1e-5


def test_the_file_knows_what_it_is_and_nothing_of_the_machine(exported, network):
    session = onnxruntime.InferenceSession(exported)
    (images,) = session.get_inputs()
    assert (images.name, images.type) == ("images", "tensor(uint8)")
    known = session.get_modelmeta().custom_metadata_map
    assert known["notice"] == network.notice and known["data"] == "PneumoniaMNIST PHANTOM"
    assert "cropped at the centre" in known["preparation"] and json.loads(known["side"]) == 28
    assert json.loads(known["classes"]) == ["healthy", "pneumonia"]
    assert json.loads(known["threshold"]) == network.report["at_val_threshold"]["threshold"]
    assert json.loads(known["calibration"]) == network.report["calibration"]
    content = exported.read_bytes()
    assert str(Path(cnn.__file__).parents[2]).encode() not in content
    assert b"site-packages" not in content and str(exported.parent).encode() not in content
    onnx.checker.check_model(onnx.load(exported), full_check=True)


def test_a_file_that_differs_is_not_put_in_place(exported, network, monkeypatch, tmp_path):
    """Here the file of another training."""
    network.report["calibration"] = [1.0, 2.0]
    monkeypatch.setattr(export, "convert", lambda _: exported.read_bytes())
    out = tmp_path / "net.onnx"
    out.write_text("the one before")
    with pytest.raises(UserError, match=r"would differ from PyTorch by 0\."):
        export.write(out, network)
    assert out.read_text() == "the one before"


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"onnxscript, which is missing.*\[onnx\]"):
        export.main(cli.parse(["export"]))
