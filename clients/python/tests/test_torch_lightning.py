"""kantor.torch.Loss in Lightning: its checkpoints, mixed precision, validation and logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning
import torch

import kantor
import kantor.torch
from kantor.schedules import Linear

# What Lightning warns of is its own.
pytestmark = pytest.mark.filterwarnings("ignore:::pytorch_lightning")

BATCHES = 4  # of an epoch


class Encoder(pytorch_lightning.LightningModule):
    """Everything of a criterion that has a state, with Adam."""

    def __init__(self, client: kantor.Client) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = torch.nn.Linear(3, 4)
        self.criterion = kantor.torch.Loss(
            kantor.Sinkhorn("z", "prior") + kantor.GaussianKl("q") + 0.1 * kantor.ConeCritic("z", "prior"),
            client,
            schedules={"kl.weight": Linear(0, 1, 8)},
            seed=4,
        )
        self.values: list[torch.Tensor] = []

    def value(self, batch: torch.Tensor) -> Any:
        mean, log_variance = self.encoder(batch).chunk(2, 1)
        return self.criterion(z=mean, prior=kantor.StandardNormal(), q=kantor.Gaussian(mean, log_variance))

    def training_step(self, batch: torch.Tensor) -> Any:
        value = self.value(batch)
        self.log_dict(self.criterion.log())
        self.values.append(value.detach())
        return value

    def validation_step(self, batch: torch.Tensor) -> None:
        self.log("validation", self.value(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def fit(model: Encoder, epochs: int, path: Path | None = None, **arguments: Any) -> pytorch_lightning.Trainer:
    """Trains until so many epochs are over, of the same batches each, with a validation between and after them."""
    rows: Any = torch.randn(BATCHES * 16, 3, generator=torch.Generator().manual_seed(1))
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pytorch_lightning.Trainer(
        accelerator="cpu", max_epochs=epochs, enable_checkpointing=False, **quiet, **arguments
    )
    loader: Any = torch.utils.data.DataLoader(rows, 16)
    trainer.fit(model, loader, loader, ckpt_path=path, weights_only=None if path is None else True)
    model.criterion.close()
    return trainer


def test_a_checkpoint_of_lightning_resumes_bit_for_bit(client: kantor.Client, tmp_path: Path) -> None:
    undisturbed, killed, resumed = Encoder(client), Encoder(client), Encoder(client)
    trainer = fit(undisturbed, 2)
    fit(killed, 1).save_checkpoint(tmp_path / "checkpoint")
    fit(resumed, 2, tmp_path / "checkpoint")
    # Validations, a check before the training among them, have not counted.
    assert resumed.criterion.step == undisturbed.criterion.step == 2 * BATCHES
    assert resumed.values == undisturbed.values[BATCHES:]
    for got, want in zip(resumed.parameters(), undisturbed.parameters(), strict=True):
        assert torch.equal(got, want)
    assert trainer.callback_metrics["kl.weight"] == torch.tensor(7 / 8)
    assert trainer.callback_metrics.keys() >= {"validation", "sinkhorn.upper", "cone_critic.value", "seconds"}
    # The criterion's part of it is needed: with the model's and the optimiser's alone the next step is another.
    checkpoint = torch.load(tmp_path / "checkpoint", weights_only=True)
    checkpoint["state_dict"]["criterion._extra_state"].update(step=0, critics={})
    torch.save(checkpoint, tmp_path / "other")
    other = Encoder(client)
    fit(other, 2, tmp_path / "other")
    assert other.values[0] != resumed.values[0]


def test_mixed_precision(client: kantor.Client) -> None:
    """Codes are bfloat16, the value float32, and so are the gradients of the parameters."""
    model, plain = Encoder(client), Encoder(client)
    formats: list[torch.dtype] = []
    gradients: list[torch.dtype] = []
    weight: Any = model.encoder.weight
    weight.register_hook(lambda gradient: gradients.append(gradient.dtype))
    model.encoder.register_forward_hook(lambda *given: formats.append(given[2].dtype))
    fit(model, 1, precision="bf16-mixed")
    fit(plain, 1)
    assert {*formats} == {torch.bfloat16}
    assert {value.dtype for value in model.values} == {torch.float32}
    assert gradients == BATCHES * [torch.float32]
    # Roundings of codes of order 1 to 2^-9 of them: the values are near each other, and not the same.
    assert model.values[0] == pytest.approx(plain.values[0].item(), rel=0.05)
    assert model.values[0] != plain.values[0]
