"""The model: its encoder against torch's GRU, its objective against plain formulas, its parts one by one."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from neurorbit.bindings.stacked_adam import penalty_and_norm
from neurorbit.engine.data.spike_trials import SpikeTrials
from neurorbit.engine.models.findr import FindrConfig, ModelConfig, ObjectiveConfig, TrainingConfig
from neurorbit.engine.models.findr.encoder import Encoder
from neurorbit.engine.models.findr.flows import AttractorFlow
from neurorbit.engine.models.findr.initialise import lecun, on_latents, orthogonal_gates
from neurorbit.engine.models.findr.irrelevant import IrrelevantGru
from neurorbit.engine.models.findr.members import members, shapes
from neurorbit.engine.models.findr.network import Findr, Trials
from neurorbit.engine.models.findr.objective import _NOISE, FindrObjective
from neurorbit.engine.models.findr.prepared import Batches, prepare
from neurorbit.engine.simulate.decision import decision

CPU = torch.device("cpu")
TRIALS = decision(n_trials=31, n_neurons=7, shortest=5, longest=14, seed=3)
SMALL = FindrConfig(
    features=(6, 5), encoder_size=4, epochs=3, folds=3, device="cpu", training=TrainingConfig(batch_size=4)
)


def objective(config: FindrConfig, *sessions: SpikeTrials) -> FindrObjective:
    every = sessions or (TRIALS,)
    return FindrObjective(config, members(config), prepare(config, every, CPU), every[0].bin_s, CPU)


def test_encoder_is_a_bidirectional_gru_on_packed_sequences() -> None:
    encoder = Encoder([5], 2, 4, seeds=[1, 2])
    g = torch.Generator().manual_seed(0)
    counts, inputs = torch.poisson(torch.full((1, 6, 9, 5), 0.4), generator=g), torch.randn(1, 6, 9, 2, generator=g)
    x, lengths = torch.cat((counts, inputs), 3), torch.tensor([[9, 1, 5, 8, 3, 9]])
    found = encoder(counts.to(torch.uint8), inputs, lengths)
    for e in range(2):
        twin = nn.GRU(7, 4, batch_first=True, bidirectional=True)
        with torch.no_grad():
            for k, end in enumerate(("", "_reverse")):
                half = slice(12 * k, 12 * (k + 1))
                getattr(twin, f"weight_ih_l0{end}").copy_(encoder.W_in[0]["W"][e, :, half].T)
                getattr(twin, f"bias_ih_l0{end}").copy_(encoder.own["b_in"][e, half])
                getattr(twin, f"weight_hh_l0{end}").copy_(encoder.own["W"][e, k].T)
                getattr(twin, f"bias_hh_l0{end}").copy_(encoder.own["b"][e, k])
        packed = nn.utils.rnn.pack_padded_sequence(x[0], lengths[0], batch_first=True, enforce_sorted=False)
        expected, _ = nn.utils.rnn.pad_packed_sequence(twin(packed)[0], batch_first=True, total_length=9)
        for b, n in enumerate(lengths[0].tolist()):
            torch.testing.assert_close(found[e, b, :n], expected[b, :n])


@pytest.mark.parametrize("models", (1, 2))
def test_expected_counts_are_encoded_as_counts_are(models: int) -> None:
    encoder, g = Encoder([5], 2, 4, seeds=[1, 2]), torch.Generator().manual_seed(0)
    counts = torch.poisson(torch.full((models, 3, 6, 5), 0.7), generator=g)
    inputs, lengths = torch.randn(1, 3, 6, 2, generator=g), torch.tensor([[6, 4, 1]])
    for given in (inputs, None):
        encoder = encoder if given is not None else Encoder([5], 0, 4, seeds=[1, 2])
        whole = encoder(counts.to(torch.int16), given, lengths)
        torch.testing.assert_close(encoder(counts, given, lengths), whole, rtol=1e-5, atol=1e-6)
        other = encoder(counts + 0.25 * torch.eye(5)[2], given, lengths)  # a quarter of a spike more of one neuron
        assert bool((other - whole)[:, 0].abs().amax(-1).min() > 1e-4)


def silu_drift(own: dict[str, Tensor], z: Tensor, x: Tensor) -> Tensor:
    """The gated drift of one model from its equations."""
    M = z.shape[-1]
    drive = x @ own["V"]
    gate = torch.sigmoid(z @ own["Wg"] + own["bg"] + drive[..., :M])
    h = nn.functional.silu(z @ own["W1"] + own["b1"] + drive[..., M:])
    h = nn.functional.silu(h @ own["W2"] + own["b2"])
    return gate * (torch.tanh(h @ own["Wo"] + own["bo"]) - z)


def flat_of(o: FindrObjective) -> tuple[Tensor, Tensor]:
    """All parameters and as many zeros."""
    values = torch.cat([p.detach().flatten(1) for p in o.module.parameters()], 1)
    return values, torch.zeros_like(values)


def test_objective_against_plain_formulas_per_trial() -> None:
    config = dataclasses.replace(SMALL, model=ModelConfig(noise_level=0.7, bias=True))
    o = objective(config)
    step = 2 * o.batches.per_epoch + 1  # in the third epoch
    with torch.no_grad():
        nll, kl = o.terms(step)
        l2, _ = penalty_and_norm(*flat_of(o), o.penalty)
        session, seen = o.batches.draw(step)
        paths = {seed is None: o.module.infer(seen, session, seed, step * 14).z for seed in (None, o._seeds[_NOISE])}
        for e in (0, 2):
            expected = _by_hand(o, seen, e, paths[False][e], paths[True][e])
            assert float(nll[e]) == pytest.approx(expected[0], rel=1e-4)
            assert float(kl[e]) == pytest.approx(2 * (1 - 0.99**2) * expected[1], rel=1e-3)
            squares = sum(float(p[e].square().mean()) for p in o.module.parameters())
            assert float(l2[e]) == pytest.approx(1e-7 * squares, rel=1e-4)


def _by_hand(o: FindrObjective, seen: Trials, e: int, z_noisy: Tensor, z_still: Tensor) -> tuple[float, float]:
    """Likelihood and divergence per bin of one model, one bin after the other."""
    module, a, dt = o.module, 0.1, 0.01
    own = {part: {n: p[e] for n, p in getattr(module, part).own.items()} for part in ("posterior", "flow")}
    sigma = 0.7 * torch.sigmoid(module.s[e])
    assert seen.inputs is not None
    u = seen.inputs[e]
    encoded = module.encoder(seen.counts[e : e + 1], u[None], seen.lengths[e : e + 1])[e]
    total_nll = total_kl = 0.0
    for b in range(4):
        z, still = torch.zeros(2), torch.zeros(2)
        for t in range(int(seen.lengths[e, b])):
            x = torch.cat((u[b, t], encoded[b, t]))
            still = still + a * silu_drift(own["posterior"], still, x)
            torch.testing.assert_close(z_still[b, t], still, rtol=1e-4, atol=1e-5)
            mu, theta = silu_drift(own["posterior"], z, x), silu_drift(own["flow"], z, u[b, t])
            total_kl += float((a / 2 * ((theta - mu) / sigma).square()).sum())
            z = z_noisy[b, t]
            rate = nn.functional.softplus(module.C()[e] @ z + seen.by_trial[e, b] + seen.by_bin[e, t]) + 1e-5
            y = seen.counts[e, b, t].float()
            total_nll += float((dt * rate - y * (dt * rate).log() + torch.lgamma(y + 1)).sum())
    n = int(seen.lengths[e].sum())
    return total_nll / n, total_kl / n


CONFIGURATIONS = {
    "preset": (SMALL, True),
    "one hidden layer, bias": (dataclasses.replace(SMALL, features=(6,), model=ModelConfig(bias=True)), True),
    "exponential link": (dataclasses.replace(SMALL, model=ModelConfig(link="exp", noise_level=0.5)), True),
    "tied posterior": (dataclasses.replace(SMALL, model=ModelConfig(posterior="tied")), True),
    "line": (dataclasses.replace(SMALL, model=ModelConfig(flow="line")), False),
    "bistable": (dataclasses.replace(SMALL, model=ModelConfig(flow="bistable", bias=True)), False),
    "irrelevant GRU": (dataclasses.replace(SMALL, model=ModelConfig(irrelevant_size=5)), False),
    "definition": (dataclasses.replace(SMALL, backend="reference"), False),
}


@pytest.mark.parametrize("inputs", (True, False))
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_bound_is_its_parts_in_every_configuration(name: str, inputs: bool) -> None:
    config, one_node = CONFIGURATIONS[name]
    trials = TRIALS if inputs else SpikeTrials.from_arrays(TRIALS.counts, TRIALS.lengths, bin_s=TRIALS.bin_s)
    o = objective(config, trials)
    session, seen = o.batches.draw(3)
    assert (seen.inputs is None) != inputs
    parameters = tuple(o.module.parameters())
    for seed in (o._seeds[_NOISE], None):
        whole = o.module.elbo(seen, session, seed, 42)
        assert (whole[0].grad_fn is not None and whole[0].grad_fn.name() == "_BoundBackward") == one_node
        path = o.module.infer(seen, session, seed, 42)
        parts = (o.module.score(path.z, seen, session).nll, o.module.kl(path, seen))
        found, expected = (
            torch.autograd.grad((nll + 2 * kl).sum(), parameters, materialize_grads=True) for nll, kl in (whole, parts)
        )
        for a, b in zip((*whole, *found), (*parts, *expected), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6 * max(1.0, float(b.detach().abs().max())))


def test_what_follows_a_trials_end_has_no_effect() -> None:
    o = objective(SMALL)
    session, seen = o.batches.draw(0)
    t = torch.arange(seen.counts.shape[2])
    after = (t >= seen.lengths[..., None])[..., None]
    assert bool(after.any())
    assert seen.inputs is not None
    other = seen._replace(counts=seen.counts.masked_fill(after, 9), inputs=seen.inputs.masked_fill(after, 5.0))
    a, b = (o.module.infer(x, session, None) for x in (seen, other))
    assert torch.equal(a.z, b.z)
    assert torch.equal(o.module.kl(a, seen), o.module.kl(b, other))
    assert torch.equal(o.module.score(a.z, seen).nll, o.module.score(b.z, other).nll)
    for c, d in zip(o.module.elbo(seen, session, None), o.module.elbo(other, session, None), strict=True):
        assert torch.equal(c, d)


def test_a_prior_that_is_the_posterior_has_no_divergence() -> None:
    o = objective(dataclasses.replace(SMALL, features=(6,)))
    _, seen = o.batches.draw(0)
    assert o.module.posterior is not None
    flow, posterior = o.module.flow.own, o.module.posterior.own
    with torch.no_grad():
        for name, p in flow.items():
            if name == "V":
                posterior[name].zero_()
                posterior[name][:, :2] = p
            else:
                posterior[name].copy_(p)
    seeds = torch.arange(3)
    path = o.module.infer(seen, 0, seeds)
    torch.testing.assert_close(o.module.kl(path, seen), torch.zeros(3, 4), atol=1e-9, rtol=0)
    torch.testing.assert_close(o.module.sample(seen.inputs, seen.lengths, seeds), path.z)


def test_a_tied_posterior_departs_from_the_flow_by_what_the_encoder_adds() -> None:
    o = objective(dataclasses.replace(SMALL, model=ModelConfig(posterior="tied")))
    _, seen = o.batches.draw(0)
    path = o.module.infer(seen, 0, torch.arange(3))
    assert bool((o.module.kl(path, seen) > 1e-6).all())
    assert o.module.correction is not None
    with torch.no_grad():
        o.module.correction["V"].zero_()
    path = o.module.infer(seen, 0, torch.arange(3))
    torch.testing.assert_close(o.module.kl(path, seen), torch.zeros(3, 4), atol=1e-9, rtol=0)
    torch.testing.assert_close(o.module.sample(seen.inputs, seen.lengths, torch.arange(3)), path.z)
    with pytest.raises(ValueError, match=r"model\.posterior: expected own with the flow line, got tied"):
        ModelConfig(posterior="tied", flow="line").check()


def test_batches_go_once_through_the_training_trials_and_drop_the_rest() -> None:
    config = dataclasses.replace(SMALL, runs=2)
    sessions = prepare(config, [TRIALS], CPU)
    batches = Batches(config, sessions, members(config))
    least = min(len(f.train) for f in sessions[0].folds)
    assert least == 10 and batches.per_epoch == 2
    [order] = [torch.cat([_drawn(batches, step) for step in (2, 3)], 1)]
    for e, m in enumerate(members(config)):
        assert len(set(order[e].tolist())) == 8
        assert set(order[e].tolist()) <= set(sessions[0].folds[m.fold].train.tolist())
    assert not torch.equal(order[0], order[3])  # another seed
    again = torch.cat([_drawn(Batches(config, sessions, members(config)), step) for step in (2, 3)], 1)
    assert torch.equal(again, order)
    assert not torch.equal(torch.cat([_drawn(batches, step) for step in (4, 5)], 1), order)


def _drawn(batches: Batches, step: int) -> Tensor:
    batches.draw(step)
    turn = step % batches.per_epoch
    return batches._orders[0][:, turn * batches.size : (turn + 1) * batches.size]


def test_initial_values_have_their_variances() -> None:
    g = torch.Generator().manual_seed(0)
    w = on_latents(g, 100, 400)
    assert float(w.var()) == pytest.approx(1.414 / 100, rel=0.03)
    assert float(w.abs().max()) <= 2 * math.sqrt(1.414 / 100) / 0.8796
    assert float(lecun(g, 50, 800).var()) == pytest.approx(1 / 50, rel=0.03)
    for gate in orthogonal_gates(g, 7).split(7, 1):
        torch.testing.assert_close(gate.T @ gate, torch.eye(7))


def test_gates_start_where_the_settings_say() -> None:
    module = Findr(dataclasses.replace(SMALL, model=ModelConfig(gate_start=2.0)), [3], 1, 0.01, [0, 1])
    assert module.posterior is not None
    for part in (module.flow, module.posterior):
        torch.testing.assert_close(part.own["bg"].detach(), torch.full((2, 2), 2.0), atol=0.01, rtol=0)


def test_beta_and_the_epoch_from_which_states_are_kept() -> None:
    loss = ObjectiveConfig()
    assert loss.annealed == 458
    assert loss.beta(0) == 0.0
    assert loss.beta(100) == pytest.approx(2 * (1 - 0.99**100))
    assert ObjectiveConfig(annealing=0.0).beta(0) == 0.0 and ObjectiveConfig(annealing=0.0).beta(1) == 2.0


def test_grid_of_nine_shapes_of_25_models() -> None:
    from neurorbit.engine.models.findr.config import PUBLISHED_ENCODERS, PUBLISHED_FEATURES, PUBLISHED_RATES, GridConfig

    grid = GridConfig(features=PUBLISHED_FEATURES, encoder_size=PUBLISHED_ENCODERS)
    found = shapes(FindrConfig(rates=PUBLISHED_RATES, grid=grid))
    assert [(s.features, s.encoder_size) for s in found[:4]] == [((30,), 50), ((30,), 100), ((30,), 200), ((50,), 50)]
    assert len(found) == 9 and all(len(members(s)) == 25 for s in found)
    assert members(found[0])[6].label == "model 6 (fold 1, rate 0.02371, seed 0)"


def test_bistable_attractor_has_its_sinks_where_it_says() -> None:
    flow = AttractorFlow("bistable", 1, [0], 3)
    with torch.no_grad():
        flow.own["log_r"].fill_(math.log(1.5))
        flow.own["log_k"].fill_(math.log(3.0))
        flow.own["log_d"].fill_(math.log(2.0))
        flow.own["V"].copy_(torch.tensor([[[0.5, 0.25]]]))
    z = torch.tensor([[[[-1.5, 0.0], [0.0, 0.0], [1.5, 0.0], [0.75, 1.0]]]])
    expected = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [3 * 0.75 * 0.75, -2.0]])
    torch.testing.assert_close(flow.at(z)[0, 0], expected, atol=1e-6, rtol=1e-6)
    u = torch.ones(1, 1, 4, 1)
    torch.testing.assert_close(flow.at(z, u)[0, 0], expected + torch.tensor([0.5, 0.25]), atol=1e-6, rtol=1e-6)
    lengths = torch.tensor([[3]])
    path, mu = flow.roll_out(torch.zeros(1, 1, 2), u, 0.1, torch.ones(1, 2), None, lengths, 4)
    torch.testing.assert_close(flow.along(path, torch.zeros(1, 1, 2), u, lengths), mu)
    assert bool((path[0, 0, 3] == 0).all())


def test_line_attractor_integrates_its_inputs() -> None:
    flow = AttractorFlow("line", 1, [0], 3)
    u = torch.randn(1, 2, 6, 1, generator=torch.Generator().manual_seed(0))
    path, _ = flow.roll_out(torch.zeros(1, 2, 2), u, 0.1, torch.ones(1, 2), None, None, 6)
    torch.testing.assert_close(path[0, ..., 0], 0.1 * u[0, ..., 0].cumsum(1) * flow.own["V"][0, 0, 0])
    noisy, _ = flow.roll_out(torch.zeros(1, 500, 2), None, 0.1, torch.tensor([[0.5, 0.2]]), torch.tensor([4]), None, 30)
    assert float(noisy[0, :, -1, 0].detach().var()) == pytest.approx(30 * 0.1 * 0.25, rel=0.15)


def test_constrained_flows_train_through_the_same_objective() -> None:
    config = dataclasses.replace(SMALL, model=ModelConfig(flow="bistable"))
    o = objective(config)
    o.terms(5)[1].sum().backward()
    assert isinstance(o.module.flow, AttractorFlow)
    for name, p in o.module.flow.own.items():
        assert p.grad is not None and bool((p.grad.flatten(1).abs().sum(1) > 0).all()), name


def test_task_irrelevant_gru_is_the_same_in_every_trial() -> None:
    gru = IrrelevantGru([7], 5, [0, 1])
    cell = nn.GRUCell(1, 5)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.weight_hh.copy_(gru.own["W"][1].T)
        cell.bias_ih.copy_(gru.own["b_in"][1])
        cell.bias_hh.copy_(gru.own["b"][1])
        h, rows = gru.own["h"][1], []
        for _ in range(6):
            h = cell(torch.zeros(1, 1), h)
            rows.append(h[0] @ gru.readout[0]["R"][1] + gru.readout[0]["c"][1])
    torch.testing.assert_close(gru(6)[1], torch.stack(rows))
    o = objective(dataclasses.replace(SMALL, model=ModelConfig(irrelevant_size=5)))
    nll, _ = o.terms(0)
    l2, _ = penalty_and_norm(*flat_of(o), o.penalty)
    assert o.module.irrelevant is not None
    squares = sum(float(p[0].detach().square().mean()) for p in o.module.irrelevant.parameters())
    assert float(l2[0].detach()) == pytest.approx(1e-4 * squares, rel=0.05)
    nll.sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in o.module.irrelevant.parameters() if p.grad is not None)


def test_a_time_constant_below_a_bin_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model.tau_s: expected at least bin_s=0.01, got 0.005"):
        Findr(dataclasses.replace(SMALL, model=ModelConfig(tau_s=0.005)), [3], 1, 0.01, [0])


def test_principal_readouts_span_those_of_the_simulation() -> None:
    data = decision(
        n_trials=120, n_neurons=30, shortest=60, longest=80, gain_hz=25.0, low_hz=30.0, high_hz=60.0, seed=2
    )
    config = dataclasses.replace(
        SMALL, baseline="constant", model=ModelConfig(readout_start="principal", principal_sd=0.5)
    )
    o = objective(config, data)
    assert data.truth is not None
    truth = data.truth.C[:, 0] / data.truth.C[:, 0].norm()
    for e in range(3):
        C = o.module.C()[e].detach()
        lengths = C.norm(dim=0)
        assert float(lengths[0]) == pytest.approx(float(lengths[1]), rel=1e-4)
        assert abs(float(C[:, 0] @ truth / lengths[0])) > 0.9  # y hardly varies: x is the first axis
        p = data.truth.z[data.valid][:, 0].std() * data.truth.C[:, 0].norm()
        assert 0.5 * float(p) < float(lengths[0]) * 0.5 < 1.2 * float(p)
    assert not torch.equal(o.module.C()[0], o.module.C()[1])  # each fold has its own training trials
