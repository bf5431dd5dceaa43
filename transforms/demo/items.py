"""Items of other codes than the wanted ones: filler of other services, and decoys that look like the wanted ones."""

from random import Random
from typing import Any

from schemas.codes import DEFAULT_CODES

Json = dict[str, Any]

_SERVICES = (
    ("CPT", "97110", "Therapeutic exercises"), ("CPT", "97140", "Manual therapy"), ("CPT", "97014", "E-stim"),
    ("CPT", "99213", "Office visit, established"), ("HCPCS", "G0283", "Electrical stimulation"),
    ("CPT", "97024", "Diathermy"), ("CPT", "97027", "No such service"), ("CPT", "970260", "One digit too many"),
    ("MS-DRG", "470", "Major joint replacement"), ("RC", "0420", "Physical therapy"), ("CDT", "D0120", "Oral exam"),
)  # fmt: skip
_TRICKY_NAME = 'Lamp "A" {see [97026], or "billing_code": "97028"} \\'


def filler(random: Random, rates: list[Json]) -> Json:
    """An item of another service that holds ``rates``."""
    code_type, code, name = random.choice(_SERVICES)
    if random.random() < 0.6:
        code_type, code, name = "CPT", str(random.randint(10_000, 96_999)), f"Service {random.randint(1, 9_999)}"
    return _item(code_type, code, name, f"{name}; not {random.choice(DEFAULT_CODES)}", rates)


def decoys(rates: list[Json]) -> list[Json]:
    """The wanted codes where they don't count: in a bundle, under another code type, in names and descriptions."""
    wanted = [
        {"billing_code_type": "CPT", "billing_code_type_version": "2026", "billing_code": code, "description": "part"}
        for code in DEFAULT_CODES
    ]
    bundle = _item("ICD", "81.54", "Total knee replacement", "with modalities", rates)
    capitated = _item("MS-DRG", "469", "Joint replacement", "with covered services", rates)
    return [
        bundle | {"negotiation_arrangement": "bundle", "bundled_codes": wanted},
        capitated | {"negotiation_arrangement": "capitation", "covered_services": wanted},
        _item("RC", DEFAULT_CODES[0], "Not the CPT code", "a local revenue code", rates),
        _item(
            "CPT", "97022", _TRICKY_NAME, f'{{"billing_code_type": "CPT", "billing_code": "{DEFAULT_CODES[0]}"}}', rates
        ),
    ]


def _item(code_type: str, code: str, name: str, description: str, rates: list[Json]) -> Json:
    return {
        "negotiation_arrangement": "ffs",
        "name": name,
        "billing_code_type": code_type,
        "billing_code_type_version": "2026",
        "billing_code": code,
        "description": description,
        "negotiated_rates": rates,
    }
