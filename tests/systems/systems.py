"""The systems: which files are whose, what their papers claim, and where bitc does not give the golden answer, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class System:
    """Files ``folder/prefix*``. ``claim``: the headline figure of the paper, ``source``: where that stands."""

    name: str
    folder: str
    prefixes: tuple[str, ...]
    claim: str
    source: str

    def files(self, shared: Path) -> list[Path]:
        """Its networks, by name."""
        folder = shared / "models" / self.folder
        return sorted(path for path in folder.glob("*.onnx") if path.stem.startswith(self.prefixes))

    def smallest(self, shared: Path) -> Path:
        """The one that is quickest to compile, as its size tells."""
        return min(self.files(shared), key=lambda path: (path.stat().st_size, path.name))


@dataclass(frozen=True, slots=True)
class Known:
    """Why the answers of a file are not the golden's within the common bound.

    ``same``: the bound that holds instead. None: a code flips, on ``targets``, and what depends on it follows; then the answers lie in
    the intervals of ``bitc check``, and that is all.
    """

    reason: str
    same: float | None = None
    targets: tuple[str, ...] = ("portable", "avx2", "avx512")


SYSTEMS = (
    System(
        "BiPer", "systems", ("biper_",), "CIFAR-10 ResNet-20 86.98 %, VGG-small 92.46 %", "CVPR 2024, arXiv 2404.01278"
    ),
    System("ReSTE", "systems", ("reste_",), "CIFAR-10 ResNet-20 86.75 %, VGG-small 92.55 %", "ICCV 2023"),
    System(
        "BiBench", "systems", ("bibench_",), "eight binarizers compared, a benchmark", "ICML 2023, arXiv 2301.11233"
    ),
    System(
        "ReActNet",
        "systems",
        ("reactnet_",),
        "ImageNet 70.5 % at 7.9 ACE (ReActNet-Adam)",
        "as cited in arXiv 2112.00133",
    ),
    System("Bi-Real net", "systems", ("birealnet",), "shortcuts around each binary layer", "liuzechun/Bi-Real-net"),
    System(
        "PokeBNN", "systems", ("poke_",), "ImageNet 75.6 % at 7.8 ACE, 70.5 % at 2.6", "CVPR 2022, arXiv 2112.00133"
    ),
    System(
        "BiT", "systems", ("bit_",), "GLUE 73.5 at W1A1 (83.9 in fp32), 13.4 MB, 0.4 of 22.5 GFLOPs", "NeurIPS 2022"
    ),
    System(
        "TBT",
        "systems",
        ("tbt_",),
        "CNN/DailyMail R1 43.46 at W2A8, 35.56 at W1A1 (BART 44.90); 532 MB become 39.6 and 23.2",
        "ACL 2023, arXiv 2306.01841",
    ),
    System(
        "BiPFT",
        "systems",
        ("bipft_",),
        "56x fewer operations, 28x less memory, GLUE +15.4 %",
        "AAAI 2024, arXiv 2312.08937",
    ),
    System("BiViT", "systems", ("bivit_",), "ImageNet 70.8 % (Swin-T), 75.6 % (Swin-S)", "arXiv 2211.07091"),
    System("BinaryDM", "systems", ("binarydm_",), "15.2x fewer operations, 29.2x smaller, FID 7.74", "ICLR 2025"),
    System("Binary latent diffusion", "systems", ("bld_",), "16 sampling steps", "CVPR 2023, arXiv 2304.04820"),
    System(
        "BitNet b1.58", "spiking", ("bitnet158_", "hf_bitnet_"), "ternary weights by int8 tokens", "HF transformers"
    ),
    System("Brevitas", "spiking", ("brevitas_",), "a library: integers of any width", "Xilinx/brevitas"),
    System("Learned delays (DCLS)", "spiking", ("dcls_",), "SHD 95.07 %, SSC 80.69 %", "ICLR 2024, arXiv 2306.17670"),
    System("EGRU", "spiking", ("egru_",), "5 to 18 times less energy than a GPU at batch 1", "arXiv 2312.09084"),
    System("LIF loops", "spiking", ("lif_",), "time in Scan and Loop", "equations of snnTorch"),
    System("Hybrid LMU", "spiking", ("lmu_",), "1.26 significant bits a weight product", "arXiv 2002.03553"),
    System("Max-Former", "spiking", ("maxformer_",), "ImageNet 82.39 % with 63.99 M weights", "bic-L/MaxFormer"),
    System("Minifloat", "spiking", ("minifloat_",), "3 to 8 bits; ResNet-18, MobileNetV2, ViT-B", "arXiv 2311.12359"),
    System("onnxruntime's quantizer", "spiking", ("ortq_",), "a library: int8, int4, block-wise", "onnxruntime"),
    System("Powers of two", "spiking", ("pot4_",), "1.4x energy efficiency against uniform", "arXiv 2209.15257"),
    System("Spike-driven Transformer V2", "spiking", ("sdtv2_",), "ImageNet 80.0 %, 55 M weights, T = 4", "ICLR 2024"),
    System(
        "SpikingJelly",
        "spiking",
        ("sj14_", "sj2_"),
        "a library: LIF, PLIF, IF, QIF, EIF, I-LIF, PSN",
        "fangwei123456/spikingjelly",
    ),
    System("snnTorch", "spiking", ("snntorch_",), "a library: Leaky, Synaptic, RLeaky", "jeshraghian/snntorch"),
    System("SpikeGPT", "spiking", ("spikegpt_",), "WikiText-103 perplexity 39.75, 216 M weights", "arXiv 2302.13939"),
    System(
        "SpikingBrain W8ASpike",
        "spiking",
        ("spikingbrain_",),
        "69.15 % of activations silent",
        "BICLab/SpikingBrain-7B",
    ),
    System(
        "SynA / OR-Spiking ResNet",
        "spiking",
        ("syna_",),
        "0.8 spikes a neuron, up to 28x less energy",
        "arXiv 2311.06570",
    ),
    System("W1A32", "spiking", ("w1a32_",), "binary weights, float activations", "XNOR-Net's weights"),
)

DIMS: Mapping[str, Mapping[str, int]] = {
    "bit_layer_w1a1_dynseq_ts17": {"L": 32},
    "tbt_enclayer_w1a1_dynseq_ts17": {"L": 24},
}
"""Sizes of the sequences of files that leave them open: those of their golden inputs."""

EXCEPTIONS: Mapping[str, Known] = {
    "ortq_qdq_a16w8_perch": Known(
        "outputs are steps of 16 bits, requantized from float32 sums: where these round to the other side, the next step",
        3.1e-5,
    ),
    "sdtv2_full_tiny_T1_dynamo18": Known(
        "77 layers of spikes behind one another, chaotic: where float32 sums of another order cross one membrane's threshold, "
        "the logits move by their own size; torch and onnxruntime part alike with three seeds of four",
        targets=("avx2", "avx512"),
    ),
}
"""By file. Whoever mends one takes it out: a test holds that each of them is still one."""


def is_exception(file: str, target: str) -> bool:
    """Whether ``file`` is known not to give the golden answer on ``target``."""
    return file in EXCEPTIONS and target in EXCEPTIONS[file].targets


WHY_NOT_CODES: Mapping[tuple[str, str], str] = {
    ("BiPer", "weights"): "each weight meets many pixels: taking bits apart costs more than multiplying by ±a",
    ("ReSTE", "weights"): "each weight meets many pixels: taking bits apart costs more than multiplying by ±a",
    (
        "BiBench",
        "codes",
    ): "the residue of ReActLinear is that of another number than the sign's and does not vanish in float32, "
    "so its activation is a float near ±1",
    (
        "BiT",
        "codes",
    ): "behind GELU, the offset is the least number, found at run time: it may nearly cancel what it is added to",
    (
        "TBT",
        "codes",
    ): "behind GELU, the offset is the least number, found at run time: it may nearly cancel what it is added to",
    (
        "TBT",
        "activations",
    ): "in matrices so small, integers and the scales and offsets behind their product would take longer than floats",
    ("BiViT", "weights"): "each weight meets many tokens: taking bits apart costs more than multiplying by ±a",
    (
        "BinaryDM",
        "codes",
    ): "a channel's two bases nearly cancel in ±a±b: two sums of codes would round more than the file's one",
    ("Brevitas", "codes"): "the last layer reads a mean of codes over a whole image, which is no code of 16 bits",
    (
        "Max-Former",
        "activations",
    ): "spikes by counts in matrices of four columns and fewer: integers would take longer than floats",
    (
        "Minifloat",
        "codes",
    ): "the last layer reads a mean of codes over a whole image; E4M3, 2^18 steps wide, is more than 16 bits hold",
    (
        "Spike-driven Transformer V2",
        "activations",
    ): "spikes by counts in matrices of four columns and fewer: integers would take longer than floats",
    ("SpikingBrain W8ASpike", "codes"): "no Clip bounds the spike counts, so no integer type is proved to hold them",
    ("SynA / OR-Spiking ResNet", "codes"): "a time gate's hidden layer, so small that its floats look like few values",
}
"""By system and kind of :class:`tests.systems.operands.Operands`: why some of its products of few values do not run as codes."""


def system_of(model: Path) -> System:
    """Whose file it is. Raises :class:`LookupError` where it is nobody's or two systems claim it."""
    found = [s for s in SYSTEMS if s.folder == model.parent.name and model.stem.startswith(s.prefixes)]
    if len(found) != 1:
        raise LookupError(f"{model.name} belongs to {len(found)} systems of tests/systems/systems.py")
    return found[0]
