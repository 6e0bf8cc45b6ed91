"""Compute io, trace and actnorm_init of a case again, with the official SRFlow.

    git clone https://github.com/andreas128/SRFlow && git -C SRFlow checkout 5a007ad591c7be8bf32cf23171bfa4473e71683c
    PYTHONPATH=tests python tests/golden/srflow/make.py SRFlow/code

Inputs (LR and HR images, latents, noise) and weights stay as they are. The official code runs unchanged; its utilities,
of which the networks use one function, are replaced, since they need libraries that the networks do not.
"""

import json
import sys
import types
from pathlib import Path

import torch
import yaml
from official import GOLDEN, checkpoint
from safetensors.torch import load_file, save_file

INPUTS = ("lr", "gt", "z", "u", "eps.")
GRADIENTS = (
    "RRDB.conv_first.weight",
    "RRDB.upconv1.bias",
    "flowUpsamplerNet.layers.1.actnorm.logs",
    "flowUpsamplerNet.layers.1.invconv.weight",
    "flowUpsamplerNet.layers.3.affine.fAffine.4.logs",
    "flowUpsamplerNet.layers.3.affine.fFeatures.0.actnorm.bias",
    "flowUpsamplerNet.layers.3.affine.fFeatures.2.weight",
)


def opt_get(options, keys, default=None):
    for key in keys:
        options = (options or {}).get(key)
    return default if options is None else options


def official_network(code, meta, weights):
    sys.path.insert(0, str(code))
    sys.modules["utils.util"] = types.SimpleNamespace(opt_get=opt_get)
    from models.modules.SRFlowNet_arch import SRFlowNet

    options = yaml.safe_load((code / "confs" / f"{meta['conf']}.yml").read_text())
    options["network_G"]["flow"].update(K=meta["K"], stackRRDB={"blocks": meta["blocks"], "concat": True})
    network = SRFlowNet(3, 3, meta["nf"], meta["nb"], meta["gc"], meta["scale"], meta["K"], options)
    missing, unexpected = network.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    assert not unexpected
    assert all(name.startswith("flowUpsamplerNet.f.") for name in missing), "no result depends on this prior"
    return network.eval()


def encoded(network, given):
    """Latents, likelihoods and decoded images."""
    lr, gt = given["lr"], given["gt"]
    latents, nll, log_det = network(gt=gt, lr=lr, epses=[])
    made = {f"enc.eps.{i}": latent for i, latent in enumerate(latents)} | {"enc.nll": nll, "enc.logdet": log_det}
    made["enc.noisy_nll"] = network(gt=gt + (given["u"] - 0.5) / network.quant, lr=lr, epses=[])[1]
    uniform, torch.rand = torch.rand, lambda *size, **options: given["u"]
    made["enc.noise_official_nll"] = network(gt=gt, lr=lr, epses=[], add_gt_noise=True)[1]
    torch.rand = uniform

    epses = [given[name] for name in sorted(given) if name.startswith("eps.")]
    zeros = [torch.zeros_like(eps) for eps in epses]
    for name, chosen in [
        ("zero", zeros),
        ("z_eps0", [*zeros[:-1], given["z"]]),
        ("epses", epses),
        ("roundtrip", latents),
    ]:
        made[f"dec.sr_{name}"] = network(lr=lr, epses=chosen, reverse=True)[0]
    return made


def features(network, given):
    """What the flow is conditioned on at every level, and the image of the RRDB network itself."""
    results = network.rrdbPreprocessing(given["lr"][:1])
    names = network.flowUpsamplerNet.levelToName
    made = {f"cond.level{level}": results[names[level]] for level in range(1, network.flowUpsamplerNet.L + 1)}
    return made | {"rrdb.out": network.RRDB(given["lr"])}


def layers(network, given):
    """Output of every layer for the first image, and the log-determinant up to it."""
    made = {}

    def keep(index):
        def kept(layer, inputs, output):
            made[f"layer.{index:02}.out"], made[f"layer.{index:02}.logdet"] = output[0][:1], output[1]

        return kept

    hooks = [layer.register_forward_hook(keep(i)) for i, layer in enumerate(network.flowUpsamplerNet.layers)]
    network(gt=given["gt"], lr=given["lr"], epses=[])
    for hook in hooks:
        hook.remove()
    return made


def gradients(network, given):
    network.zero_grad()
    network(gt=given["gt"], lr=given["lr"], epses=[])[1].mean().backward()
    parameters = dict(network.named_parameters())
    return {f"grad.{name}": parameters[name].grad for name in GRADIENTS}


def initialised(network, given):
    """ActNorm after the forward pass of a first batch."""
    norms = {name: module for name, module in network.named_modules() if hasattr(module, "inited")}
    for norm in norms.values():
        norm.bias.data.zero_()
        norm.logs.data.zero_()
        norm.inited = False
    network.train()(gt=given["gt"], lr=given["lr"], epses=[])
    network.eval()
    return {f"{name}.{part}": getattr(norm, part) for name, norm in norms.items() for part in ("bias", "logs")}


def results(code, case, weights):
    """The tensors of io, trace and actnorm_init."""
    meta = json.loads((GOLDEN / case / "meta.json").read_text())
    given = {k: v for k, v in load_file(GOLDEN / case / "io.safetensors").items() if k.startswith(INPUTS)}
    network = official_network(code, meta, weights)
    with torch.no_grad():
        io = given | encoded(network, given) | features(network, given)
        trace = layers(network, given)
    io |= gradients(network, given)
    with torch.no_grad():
        return {"io": io, "trace": trace, "actnorm_init": initialised(network, given)}


def main():
    for case in ("x4_tiny", "x8_tiny"):
        for part, tensors in results(Path(sys.argv[1]), case, checkpoint(case)).items():
            tensors = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
            save_file(tensors, GOLDEN / case / f"{part}.safetensors")


if __name__ == "__main__":
    main()
