"""Users' own avatars: which targets are driven, what turns, and that all else stays as it is."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facecli.errors import InputError
from facecli.export.arkit import NAMES, ArkitTrack, ict_parts
from facecli.export.avatar import Avatar
from facecli.export.avatar_names import eye_of, is_head, targets_of
from facecli.io.gltf import read_gltf, write_gltf
from standins.avatars import HEAD_TARGETS, LOOKS, Maker, person, skinned


def spelled(name: str) -> list[str]:
    base = name.removesuffix("Left").removesuffix("Right")
    ways = [name, name[0].upper() + name[1:], name.lower(), f"blendShape1.{name}", f"ARKit_{name}", f"head|{name}"]
    if base != name:
        side = name.removeprefix(base)
        ways += [f"{base}_{side[0]}", f"{base}.{side[0]}", f"{base}{side[0]}", f"bs.{base}_{side[0]}", f"{base} {side}"]
        ways += [f"{side.lower()}{base[0].upper()}{base[1:]}"]
    return ways


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_shape_is_known_in_every_usual_spelling(name):
    for way in spelled(name):
        assert targets_of([way]) == {name: [0]}, way


@given(st.permutations(list(NAMES)), st.data())
def test_no_spelling_is_taken_for_another_shape(names, data):
    ways = [data.draw(st.sampled_from(spelled(name))) for name in names]
    assert targets_of(ways) == {name: [number] for number, name in enumerate(names)}


def test_halves_are_driven_by_their_whole_unless_that_is_there():
    halves = list(ict_parts("browInnerUp"))
    assert targets_of(["x", *halves]) == {"browInnerUp": [1, 2]}
    assert targets_of([*halves, "browInnerUp"]) == {"browInnerUp": [2]}
    assert targets_of(["CheekPuffLeft", "cheekPuff_R"]) == {"cheekPuff": [0, 1]}


def test_what_is_spelled_as_apple_does_goes_first():
    assert targets_of(["eyeBlink_L", "EyeBlinkLeft", "eyeBlinkLeft"]) == {"eyeBlinkLeft": [2]}
    assert targets_of(["eyeBlink_L", "EyeBlinkLeft"]) == {"eyeBlinkLeft": [1]}


def test_correctives_and_others_words_are_left_alone():
    others = ["jawOpen_mouthSmileLeft", "mouthSmile", "viseme_aa", "eyesClosed", "", "Fcl_EYE_Close_L", "jaw", "Basis"]
    assert targets_of(others) == {}


def test_heads_and_eyes_by_usual_names():
    assert all(map(is_head, ("Head", "mixamorig:Head", "J_Bip_C_Head", "head", "DEF-head")))
    assert not any(map(is_head, ("HeadTop_End", "Forehead", "headphones", "")))
    left = (
        "eye_left",
        "LeftEye",
        "grp_eyeLeft",
        "CC_Base_L_Eye",
        "EyeL",
        "Eye_L",
        "J_Adj_L_FaceEye",
        "mixamorig:LeftEye",
    )
    assert {eye_of(name) for name in left} == {"eye_left"}
    assert {eye_of(name) for name in ("RightEye", "eye.R", "EYE_RIGHT")} == {"eye_right"}
    assert {eye_of(name) for name in ("eyebrowL", "Eyelid_L", "LeftEyebrow", "eye")} == {None}


# --- a face ----------------------------------------------------------------------------------------------------------


def still(pose: np.ndarray | None = None, **weights: float) -> ArkitTrack:
    values = np.zeros((1, 52), np.float32)
    for name, weight in weights.items():
        values[0, NAMES.index(name)] = weight
    poses = None if pose is None else np.pad(pose, ((0, 1), (0, 1)))[None]
    return ArkitTrack(np.zeros(1), values, head_pose=poses, still=True)


def turned(yaw: float, pitch: float) -> np.ndarray:
    return Rotation.from_euler("YX", [yaw, -pitch], degrees=True).as_matrix()


def world(document: dict, name: str) -> np.ndarray:
    """[3, 3] how a node is turned in the scene."""
    nodes = document["nodes"]
    parent = {child: number for number, node in enumerate(nodes) for child in node.get("children", [])}
    (at,) = [number for number, node in enumerate(nodes) if node["name"] == name]
    turn = np.eye(3)
    while at is not None:
        node = nodes[at]
        own = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
        if "matrix" in node:
            own = np.reshape(node["matrix"], (4, 4)).T[:3, :3]
            own = own / np.linalg.norm(own, axis=0)
        turn, at = own @ turn, parent.get(at)
    return turn


def test_a_photographs_weights_are_set_on_every_mesh(tmp_path):
    avatar = Avatar(person().write(tmp_path / "me.glb"))
    assert avatar.known == ("eyeBlinkLeft", "jawOpen", "browInnerUp")
    before = copy.deepcopy(avatar.file.document)
    avatar.pose_as(still(jawOpen=0.5, eyeBlinkLeft=0.25, browInnerUp=1, mouthPucker=0.9))
    after = avatar.file.document
    head, teeth, _ = after["meshes"]
    assert head["weights"] == pytest.approx([0.5, 0.25, 0.7, 1, 1])  # its smirk is nobody's business
    assert after["nodes"][1]["weights"] == pytest.approx([0.5]) and teeth["weights"] == pytest.approx([0.5])
    for document in (before, after):  # all else is as it was
        for mesh in document["meshes"]:
            mesh.pop("weights", None)
        for node in document["nodes"]:
            node.pop("weights", None)
        document["nodes"] = [node for node in document["nodes"] if "eye" not in node["name"]]
    assert before == after


def test_eyes_that_are_nodes_turn_where_no_shape_moves_them(tmp_path):
    path = person().write(tmp_path / "me.glb")
    avatar, rest = Avatar(path), read_gltf(path).document
    assert [note for note in avatar.notes() if "eyeLook" in note] == [
        "has no shapes eyeLook…: its eyes' nodes turn instead"
    ]
    avatar.pose_as(still(eyeLookOutLeft=0.5, eyeLookInRight=1, eyeLookUpLeft=0.4))
    for name, turn in (("grp_eyeLeft", turned(15, 10)), ("grp_eyeRight", turned(30, 0))):
        np.testing.assert_allclose(world(avatar.file.document, name), turn @ world(rest, name), atol=1e-6)
    right = avatar.file.document["nodes"][3]
    assert "matrix" not in right and right["scale"] == pytest.approx([2, 2, 2])
    assert right["translation"] == pytest.approx([-0.03, 0.02, 0.05])


def test_lids_shapes_dont_keep_eyeballs_from_turning_but_bones_stay(tmp_path):
    lids = Avatar(person(looks=True).write(tmp_path / "lids.glb"))
    assert not [note for note in lids.notes() if "eyeLook" in note]
    before = world(lids.file.document, "grp_eyeLeft")
    lids.pose_as(still(eyeLookOutLeft=1))
    np.testing.assert_allclose(world(lids.file.document, "grp_eyeLeft"), turned(30, 0) @ before, atol=1e-6)
    bones = Avatar(skinned(looks=True).write(tmp_path / "bones.glb"))
    nodes = copy.deepcopy(bones.file.document["nodes"])
    bones.pose_as(still(eyeLookOutLeft=1))
    assert bones.file.document["nodes"] == nodes
    assert bones.file.document["meshes"][0]["weights"][2 + LOOKS.index("eyeLookOutLeft")] == 1


def test_bones_of_eyes_turn_where_there_are_no_looks(tmp_path):
    avatar = Avatar(skinned().write(tmp_path / "me.glb"))
    before = world(avatar.file.document, "RightEye")
    avatar.pose_as(still(eyeLookOutRight=1))
    np.testing.assert_allclose(world(avatar.file.document, "RightEye"), turned(-30, 0) @ before, atol=1e-6)


def test_an_eyes_mesh_that_isnt_around_its_node_stays(tmp_path):
    made = person()
    made.document["accessors"][made.document["meshes"][2]["primitives"][0]["attributes"]["POSITION"]]["min"] = [0.5] * 3
    avatar = Avatar(made.write(tmp_path / "me.glb"))
    assert "has neither shapes eyeLook… nor eyes that could be turned: the gaze isn't carried" in list(avatar.notes())
    nodes = copy.deepcopy(avatar.file.document["nodes"][2:])
    avatar.pose_as(still(eyeLookOutLeft=1))
    assert avatar.file.document["nodes"][2:] == nodes


@pytest.mark.parametrize(("made", "node"), [(person, "root"), (skinned, "mixamorig:Head")])
def test_the_heads_pose_turns_the_head_if_that_is_wanted(made, node, tmp_path):
    path, pose = made().write(tmp_path / "me.glb"), turned(25, -10)
    avatar, rest = Avatar(path), read_gltf(path).document
    avatar.pose_as(still(pose))
    assert world(avatar.file.document, node) == pytest.approx(world(rest, node))
    avatar.pose_as(still(pose), pose=True)
    np.testing.assert_allclose(world(avatar.file.document, node), pose @ world(rest, node), atol=1e-6)


def test_avatars_of_vrm_0_look_the_other_way(tmp_path):
    made = skinned()
    made.document["extensions"] = {"VRM": {}}
    avatar = Avatar(made.write(tmp_path / "me.glb"))
    before = world(avatar.file.document, "mixamorig:Head")
    avatar.pose_as(still(turned(0, 20)), pose=True)
    now = world(avatar.file.document, "mixamorig:Head") @ before.T
    assert (now @ [0, 0, -1])[1] == pytest.approx(np.sin(np.radians(20)))  # it looks up


# --- a video ---------------------------------------------------------------------------------------------------------


def test_a_video_becomes_one_more_animation(tmp_path):
    times = np.array([2.0, 2.04, 2.08, 2.12])
    values = np.random.default_rng(1).uniform(0, 1, (4, 52)).astype(np.float32)
    values[2] = np.nan
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, :3, :3] = [turned(angle, 0) for angle in (0, 10, 20, 30)]
    poses[2] = np.nan
    path = person().write(tmp_path / "me.glb")
    avatar, before = Avatar(path), read_gltf(path)
    avatar.animate(ArkitTrack(times, values, 25, poses), "actor", pose=True)
    write_gltf(tmp_path / "out.glb", avatar.file)
    after = read_gltf(tmp_path / "out.glb")
    idle, actor = after.document["animations"]
    assert idle == before.document["animations"][0] and actor["name"] == "actor"
    assert after.blob[: len(before.blob)] == before.blob and after.chunks == before.chunks
    for key in ("meshes", "materials", "extras", "extensions", "asset"):
        assert after.document[key] == before.document[key]
    assert after.document["accessors"][: len(before.document["accessors"])] == before.document["accessors"]

    def accessor(number: int) -> np.ndarray:
        found = after.document["accessors"][number]
        view = after.document["bufferViews"][found["bufferView"]]
        assert view["byteOffset"] % 4 == 0
        width = {"SCALAR": 1, "VEC4": 4}[found["type"]]
        return np.frombuffer(after.blob, np.float32, found["count"] * width, view["byteOffset"]).reshape(-1, width)

    played = {}
    for channel in actor["channels"]:
        sampler = actor["samplers"][channel["sampler"]]
        np.testing.assert_allclose(accessor(sampler["input"])[:, 0], times - 2, atol=1e-6)
        name = after.document["nodes"][channel["target"]["node"]]["name"]
        played[name, channel["target"]["path"]] = accessor(sampler["output"])
    assert set(played) == {
        ("Face", "weights"), ("Mouth", "weights"), ("grp_eyeLeft", "rotation"), ("grp_eyeRight", "rotation"),
        ("root", "rotation"),
    }  # fmt: skip
    face = played["Face", "weights"].reshape(4, len(HEAD_TARGETS))
    held = [0, 1, 1, 3]
    np.testing.assert_allclose(face[:, 0], values[held, NAMES.index("jawOpen")])
    np.testing.assert_allclose(face[:, 2], 0.7)
    np.testing.assert_allclose(face[:, 3], face[:, 4])
    np.testing.assert_allclose(played["Mouth", "weights"][:, 0], face[:, 0])
    root = Rotation.from_quat(played["root", "rotation"]).as_matrix()
    np.testing.assert_allclose(root[3] @ root[0].T, turned(30, 0), atol=1e-5)


# --- what can't be used ----------------------------------------------------------------------------------------------


def bare(*targets: str) -> Maker:
    made = Maker()
    made.node("Face", mesh=made.mesh("Face", targets))
    return made


def test_files_that_take_no_weights_say_what_they_have(tmp_path):
    with pytest.raises(InputError, match=r"me.glb: has no morph targets \(blend shapes"):
        Avatar(bare().write(tmp_path / "me.glb"))
    with pytest.raises(
        InputError, match=r"no morph target of ARKit's names, but smile, viseme_aa \(ARKit's are called"
    ):
        Avatar(bare("smile", "viseme_aa").write(tmp_path / "me.glb"))
    unnamed = bare("a", "b")
    del unnamed.document["meshes"][0]["extras"]
    with pytest.raises(InputError, match="has 2 morph targets without names"):
        Avatar(unnamed.write(tmp_path / "me.glb"))
    nothing = Maker()
    nothing.node("nobody")
    del nothing.document["meshes"]
    with pytest.raises(InputError, match="holds no mesh"):
        Avatar(nothing.write(tmp_path / "me.glb"))


def test_a_codes_own_number_is_no_weight(tmp_path):
    """SMIRK's ``jaw_open``, in our own files, is radians."""
    made = bare("expression_00", "jaw_open", "jawOpen")
    made.document["meshes"][0]["extras"]["targetCodes"] = [["expression", 0, 1.0], ["jaw", 0, 1.0], None]
    assert Avatar(made.write(tmp_path / "both.glb")).morphs[0].driven == {"jawOpen": [2]}
    made.document["meshes"][0]["extras"]["targetCodes"][2] = ["jaw", 0, 2.0]
    with pytest.raises(InputError, match="no morph target of ARKit's names, but expression_00, jaw_open, jawOpen"):
        Avatar(made.write(tmp_path / "codes.glb"))


@pytest.mark.parametrize("damage", [
    lambda document: document["meshes"][0].update(primitives=[]),
    lambda document: document["meshes"][0].pop("primitives"),
    lambda document: document["nodes"].append({"name": "LeftEye", "mesh": 99}),
    lambda document: document["nodes"][0].update(weights=[1, 2, 3]),
    lambda document: document.update(nodes=[3]),
    lambda document: document["nodes"][0].update(children=[0]),
    lambda document: document["nodes"].append({"name": "head", "children": [0], "rotation": [0, 0, 0, 0]}),
])  # fmt: skip
def test_damaged_ones_are_refused_in_a_line(damage, tmp_path):
    made = bare("jawOpen")
    damage(made.document)
    with pytest.raises(InputError, match="is damaged: its nodes and meshes don't fit together") as caught:
        Avatar(made.write(tmp_path / "me.glb"))
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_told(tmp_path):
    avatar = Avatar(skinned().write(tmp_path / "me.glb"))
    first, second = avatar.notes(pose=True)
    assert first.startswith("has 2 of ARKit's 52 shapes, not eyeBlinkLeft, eyeSquintLeft, ") and first.endswith(", …")
    assert second == "has no shapes eyeLook…: its eyes' nodes turn instead"
    made = skinned()
    made.document["skins"][0]["joints"] = []
    assert "its pose isn't carried" in list(Avatar(made.write(tmp_path / "b.glb")).notes(pose=True))[-1]
