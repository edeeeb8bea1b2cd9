"""Stand-in assets in full size under their official names and in their official formats: what users with licences have.

    python tests/standins/write.py FOLDER [flame smirk deca emoca deep3d]

Values are functions of each state-dict key; output layers are scaled so that codes have the size of real ones.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

import seeded  # noqa: E402
from standins import tddfa  # noqa: E402
from standins.bfm import write_bfm  # noqa: E402
from standins.deca import (  # noqa: E402
    toy_albedo,
    toy_dense_template,
    toy_fixed_displacement,
    toy_landmark_embedding,
    toy_mask,
    toy_uv,
)
from standins.flame import toy_flame  # noqa: E402
from standins.smirk import toy_smirk_assets  # noqa: E402

GOLDEN = TESTS / "golden"
EMOCA_MODEL = "EMOCA_v2_lr_mse_20"


def state_dict(manifest: str, gain: float = 1.0) -> dict[str, torch.Tensor]:
    """Tensors for the keys of `manifest`; 4-D weights times `gain`."""
    made = {}
    for key, (shape, dtype) in json.loads((GOLDEN / manifest).read_text()).items():
        value = torch.from_numpy(np.asarray(seeded.tensor(key, tuple(shape)))).to(getattr(torch, dtype))
        made[key] = value * gain if value.ndim == 4 else value
    return made


def smirk_encoder() -> dict[str, torch.Tensor]:
    """A lively SmirkEncoder: camera near (7, 0, 0), eyelids and jaw within their ranges."""
    state = state_dict("smirk/manifest_encoder.json", gain=1.25)
    pose = "pose_encoder.pose_cam_layers.0"
    state[f"{pose}.weight"] *= 0.02
    state[f"{pose}.bias"] = torch.tensor([0.10, 0.25, -0.05, 7.0, 0.01, 0.02])
    state["shape_encoder.shape_layers.0.weight"] *= 0.3
    state["expression_encoder.expression_layers.0.weight"] *= 0.3
    state["expression_encoder.expression_layers.0.bias"][50:55] = torch.tensor([0.3, 0.4, 0.05, 0.02, -0.03])
    return state


def deca_encoder(manifest: str) -> dict[str, torch.Tensor]:
    """E_flame or E_detail: camera near (8, 0, 0), the rest of the order of real codes."""
    state = state_dict(manifest, gain=1.3)
    state["layers.2.weight"] *= 0.3
    if len(state["layers.2.bias"]) == 236:
        state["layers.2.weight"][200:236] *= 0.1
        state["layers.2.bias"][206:209] = torch.tensor([8.0, 0.0, 0.0])
        state["layers.2.bias"][209:212] = 3.0
    return state


def write_flame(folder: Path) -> None:
    model = toy_flame()
    uv, uv_triangles = toy_uv()
    embedding = dict(toy_landmark_embedding())
    for key in ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords"):
        embedding[key] = torch.from_numpy(np.asarray(embedding[key]))
    extra = toy_smirk_assets()
    for name in ("FLAME2020", "mediapipe_landmark_embedding", "FLAME_masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "FLAME2020/generic_model.pkl").write_bytes(pickle.dumps(model, protocol=2))
    _save_object(folder / "landmark_embedding.npy", embedding)
    np.savez(folder / "mediapipe_landmark_embedding/mediapipe_landmark_embedding.npz", **extra["mediapipe_embedding"])
    np.save(folder / "l_eyelid.npy", extra["l_eyelid"])
    np.save(folder / "r_eyelid.npy", extra["r_eyelid"])
    (folder / "FLAME_masks/FLAME_masks.pkl").write_bytes(pickle.dumps(extra["masks"], protocol=2))
    _save_object(folder / "FLAME_masks/FLAME_masks_triangles.npy", extra["triangle_masks"])
    write_template(folder / "head_template.obj", model["v_template"], model["f"].astype(int), uv, uv_triangles)


def write_template(path: Path, vertices, triangles, uv, uv_triangles) -> None:
    corners = np.stack([triangles + 1, uv_triangles + 1], -1).reshape(-1, 6)
    with path.open("w") as file:
        file.writelines("v {:.9f} {:.9f} {:.9f}\n".format(*row) for row in vertices.tolist())
        file.writelines(f"vt {float(u)!r} {float(v)!r}\n" for u, v in uv)
        file.writelines("f {}/{} {}/{} {}/{}\n".format(*row) for row in corners.tolist())


def _save_object(path: Path, value) -> None:
    np.save(path, np.array(value, dtype=object), allow_pickle=True)


def write_smirk(folder: Path) -> None:
    generator = state_dict("smirk/manifest_generator.json", gain=1.25)
    checkpoint = {f"smirk_encoder.{key}": value for key, value in smirk_encoder().items()}
    checkpoint |= {f"smirk_generator.{key}": value for key, value in generator.items()}
    torch.save(checkpoint, folder / "SMIRK_em1.pt")


def write_deca(folder: Path) -> None:
    networks = {name: deca_encoder(f"deca/manifest_{name}.json") for name in ("E_flame", "E_detail")}
    torch.save(networks | {"D_detail": state_dict("deca/manifest_D_detail.json")}, folder / "deca_model.tar")
    mask = toy_mask()
    picture = np.stack([mask, mask, mask, np.full_like(mask, 255)], -1)
    for name in ("uv_face_eye_mask.png", "uv_face_mask.png"):
        cv2.imwrite(str(folder / name), picture)
    np.save(folder / "fixed_displacement_256.npy", toy_fixed_displacement())
    cv2.imwrite(str(folder / "mean_texture.jpg"), np.full((512, 512, 3), 128, np.uint8))
    _save_object(folder / "texture_data_256.npy", toy_dense_template())


def write_albedo(folder: Path) -> None:
    """FLAME_albedo_from_BFM.npz; 50 of the official file's 199 components, which are all that is used."""
    mean, components = toy_albedo(50)
    np.savez(folder / "FLAME_albedo_from_BFM.npz", MU=mean, PC=components)


def emoca_state() -> dict[str, torch.Tensor]:
    """The four networks of an EMOCA checkpoint, with the checkpoint's keys."""
    networks = tuple(f"deca.{name}." for name in ("E_flame", "E_expression", "E_detail", "D_detail"))
    state = {}
    for key, value in state_dict("emoca/manifest_expdeca_detail.json").items():
        if key.startswith(networks):
            state[key] = value * 1.3 if value.ndim == 4 and ".encoder." in key else value
    for name in networks[:3]:
        state[f"{name}layers.2.weight"] *= 0.1
    state["deca.E_flame.layers.2.weight"][200:236] *= 0.1
    state["deca.E_flame.layers.2.weight"][206:209] *= 0.2
    state["deca.E_flame.layers.2.bias"][206:209] = torch.tensor([8.0, 0.0, 0.0])
    state["deca.E_flame.layers.2.bias"][209:212] = 3.0
    return state


EMOCA_CFG = """\
coarse: {model: {deca_class: ExpDECA}}
detail:
  inout: {name: stand-in}
  model:
    deca_class: ExpDECA
    expression_backbone: deca_clone
    exp_deca_global_pose: false
    exp_deca_jaw_pose: false
    n_shape: 100
    n_tex: 50
    n_exp: 50
    n_cam: 3
    n_light: 27
    n_pose: 6
    n_detail: 128
    image_size: 224
    uv_size: 256
    use_texture: false
    background_from_input: true
    useSeg: false
"""


def write_emoca(folder: Path) -> None:
    """One model folder, packed as the official zips are: cfg.yaml and a Lightning checkpoint of the detail stage."""
    model = folder / "EMOCA" / "models" / EMOCA_MODEL
    checkpoints = model / "detail" / "checkpoints" / "deca-epoch=03-val_loss"
    checkpoints.mkdir(parents=True, exist_ok=True)
    (model / "cfg.yaml").write_text(EMOCA_CFG)
    path = checkpoints / "dataloader_idx_0=3.25273848.ckpt"
    content = {"epoch": 3, "global_step": 1000, "pytorch-lightning_version": "1.4.9", "state_dict": emoca_state()}
    save_lightning(content, path)


def save_lightning(content: dict, path: Path) -> None:
    """As Lightning 1.4 does: `callbacks` is keyed by classes of a package that need not be installed here."""
    import types

    callback = type("ModelCheckpoint", (), {"__module__": "pytorch_lightning.callbacks.model_checkpoint"})
    names = ("pytorch_lightning", "pytorch_lightning.callbacks", "pytorch_lightning.callbacks.model_checkpoint")
    added = {name: types.ModuleType(name) for name in names if name not in sys.modules}
    sys.modules.update(added)
    sys.modules[names[-1]].ModelCheckpoint = callback
    try:
        torch.save({**content, "callbacks": {callback: {"best_model_score": torch.tensor(3.25)}}}, path)
    finally:
        for name in added:
            del sys.modules[name]


def deep3d_regressor() -> dict[str, torch.Tensor]:
    """A regressor that finds a face where the alignment puts it, turned a little and lit from the image's right."""
    state = state_dict("deep3d/manifest_net_recon_resnet50.json", gain=1.25)
    sizes = {"0": 0.05, "1": 0.05, "2": 0.1, "3": 0.005, "4": 0.003, "5": 0.003, "6": 0.003}
    for head, size in sizes.items():
        state[f"final_layers.{head}.weight"] *= size
        state[f"final_layers.{head}.bias"] *= size
    state["final_layers.3.bias"] = torch.tensor([-0.05, 0.2, 0.05])
    state["final_layers.4.bias"][3::9] = -0.25
    return state


def write_deep3d(folder: Path) -> None:
    """epoch_20.pth as the program's training leaves it, and BFM_model_front.mat."""
    optimiser = {"state": {}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "params": [*range(160)]}]}
    schedule = {"step_size": 10, "gamma": 0.2, "last_epoch": 20, "_last_lr": [4e-6]}
    checkpoint = {"net_recon": deep3d_regressor(), "opt_00": optimiser, "sched_00": schedule}
    torch.save(checkpoint, folder / "epoch_20.pth")
    write_bfm(folder)


def synergynet_state(manifest: str = "synergynet/manifest_synergynet_checkpoint.json") -> dict[str, torch.Tensor]:
    """The whole training model of a SynergyNet checkpoint, as DataParallel names it; its buffers are the face model."""
    toy = tddfa.toy_3dmm("full")
    rows = toy["keypoints_sim"]
    buffers = {"u": toy["u_shp"] + toy["u_exp"], "w_shp": toy["w_shp_sim"], "w_exp": toy["w_exp_sim"]}
    buffers |= {f"{name}_base": value[rows] for name, value in buffers.items()}
    buffers |= {
        "param_mean": np.append(toy["param_mean"], np.zeros(40, np.float32)),
        "param_std": np.append(toy["param_std"], np.ones(40, np.float32)),
    }
    made = {}
    for key, (shape, dtype) in json.loads((GOLDEN / manifest).read_text()).items():
        name = key.removeprefix("module.")
        value = buffers[name] if name in buffers else seeded.tensor(name, tuple(shape))
        made[key] = torch.from_numpy(np.asarray(value)).to(getattr(torch, dtype))
    return made


def write_synergynet(folder: Path) -> None:
    """The checkpoint, and of `3dmm_data/` what doesn't lie in it."""
    torch.save({"epoch": 80, "state_dict": synergynet_state()}, folder / "best.pth.tar")
    tddfa.write_3dmm(folder / "3dmm_data", names=("tri.mat", "BFM_UV.npy", "keptInd.npy", "deletedTri.npy"))


def tddfa_v2_state() -> dict[str, torch.Tensor]:
    """mb1 as it was trained: DataParallel's prefix, and a second head."""
    state = state_dict("synergynet/manifest_tddfa_v2_mobilenet_x1.json")
    state["fc.weight"] *= 0.3
    state["fc.bias"] *= 2
    named = {f"module.{key.replace('fc.', 'fc_param.')}": value for key, value in state.items()}
    return named | {"module.fc_lm.weight": torch.zeros(136, 1024), "module.fc_lm.bias": torch.zeros(136)}


def write_tddfa_v2(folder: Path) -> None:
    """`configs/`, and mb1. The whitening goes by another name: the official one's hash is known."""
    tddfa.write_v2(folder / "configs")
    (folder / "configs/param_mean_std_62d_120x120.pkl").rename(folder / WHITENING_V2)
    torch.save({"epoch": 60, "state_dict": tddfa_v2_state()}, folder / "mb1_120x120.pth")


WHITENING_V2 = "standin_whitening_v2.pkl"

WRITERS = {
    "flame": write_flame,
    "smirk": write_smirk,
    "deca": write_deca,
    "emoca": write_emoca,
    "deep3d": write_deep3d,
    "synergynet": write_synergynet,
    "tddfa_v2": write_tddfa_v2,
}


def write(folder: Path, names: tuple[str, ...] = tuple(WRITERS)) -> Path:
    """The stand-ins `names` below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        WRITERS[name](folder)
    return folder


if __name__ == "__main__":
    write(Path(sys.argv[1]), tuple(sys.argv[2:]) or tuple(WRITERS))
