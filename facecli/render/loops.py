"""Loops over texels and cells, compiled by numba: they run without the GIL, so that the threads that write faces help
each other. Whoever calls them has the same in numpy, for machines without numba.
"""

from __future__ import annotations

import numpy as np

from facecli.render.jit import jit


@jit
def interpolate(face_index, bary, corners, columns):
    """`columns` [C, N] = values at cells with `face_index` [N], `bary` [N, 3]; `corners` [F, 3, C]."""
    for cell in range(face_index.size):
        face = face_index[cell]
        a, b, c = bary[cell, 0], bary[cell, 1], bary[cell, 2]
        for channel in range(corners.shape[2]):
            value = a * corners[face, 0, channel] + b * corners[face, 1, channel] + c * corners[face, 2, channel]
            columns[channel, cell] = value


@jit
def lay_coordinates(texels, face_index, bary, corners, weight, picture):
    """Rows `texels` [N] of `picture` [S * S, 2] = values there, where `weight` [S * S] isn't 0; `corners` [F, 3, 2]."""
    for index in range(texels.size):
        texel = texels[index]
        if weight[texel] > 0:
            face = face_index[index]
            a, b, c = bary[index, 0], bary[index, 1], bary[index, 2]
            for axis in range(2):
                picture[texel, axis] = (
                    a * corners[face, 0, axis] + b * corners[face, 1, axis] + c * corners[face, 2, axis]
                )


@jit
def mirror(texels, twins, texture, weight, shift, certain, certain_with_twin, colors, known):
    """As :func:`facecli.render.texture._mirrored_slowly`, into `colors` uint8 [S, S, 3] and `known` [S, S].

    Args:
        texels: [N] of the layout; twins: [N, 2] column and row of their mirror twins.
        texture, weight: uint8 [S, S, 3], float32 [S, S] as sampled. shift: [s, s, 3] to add to the twins' colours.
        colors, known: hold copies of `texture` and `weight`.
    """
    size, cells = weight.shape[0], shift.shape[0]
    twin, moved = np.empty(3, np.float32), np.empty(3, np.float32)
    for index in range(texels.size):
        row, column = texels[index] // size, texels[index] % size
        own = weight[row, column]
        if own >= certain + certain_with_twin:
            known[row, column] = 1
            continue
        twin_weight = _weighted_bilinear(texture, weight, twins[index, 0], twins[index, 1], twin)
        share = _smoothstep(own / (certain + certain_with_twin * twin_weight))
        twin_share = (1 - share) * twin_weight
        total = share + twin_share
        if total <= 0:
            known[row, column] = 0
            continue
        known[row, column] = min(total, np.float32(1))
        if twin_share > 0:
            _bilinear(shift, (column + 0.5) * cells / size - 0.5, (row + 0.5) * cells / size - 0.5, moved)
            for channel in range(3):
                twin_color = min(max(twin[channel] + moved[channel], np.float32(0)), np.float32(255))
                color = (share * texture[row, column, channel] + twin_share * twin_color) / total
                colors[row, column, channel] = np.uint8(color + np.float32(0.5))


@jit
def _smoothstep(x):
    x = min(max(x, np.float32(0)), np.float32(1))
    return x * x * (3 - 2 * x)


@jit
def _weighted_bilinear(texture, weight, x, y, color):
    """`color` [3] = mean of the four texels around `x`, `y` by their `weight`; returns the mean weight."""
    left, top = int(np.floor(x)), int(np.floor(y))
    right_part, lower_part = x - left, y - top
    total = np.float32(0)
    color[:] = 0
    for dy in range(2):
        for dx in range(2):
            row, column = top + dy, left + dx
            if 0 <= row < weight.shape[0] and 0 <= column < weight.shape[1]:
                part = (right_part if dx else 1 - right_part) * (lower_part if dy else 1 - lower_part)
                part *= weight[row, column]
                total += part
                for channel in range(3):
                    color[channel] += part * texture[row, column, channel]
    for channel in range(3):
        color[channel] /= max(total, np.float32(1e-6))
    return total


@jit
def _bilinear(picture, x, y, value):
    """`value` [3] = `picture` [h, w, 3] at `x`, `y`; its border goes on outside."""
    bottom, right = picture.shape[0] - 1, picture.shape[1] - 1
    x, y = min(max(x, 0.0), right), min(max(y, 0.0), bottom)
    left, top = int(x), int(y)
    next_column, next_row = min(left + 1, right), min(top + 1, bottom)
    right_part, lower_part = np.float32(x - left), np.float32(y - top)
    for channel in range(3):
        upper = picture[top, left, channel] * (1 - right_part) + picture[top, next_column, channel] * right_part
        lower = (
            picture[next_row, left, channel] * (1 - right_part) + picture[next_row, next_column, channel] * right_part
        )
        value[channel] = upper * (1 - lower_part) + lower * lower_part


@jit
def shade_clay(face_index, bary, corners, lights, lighting, color, layer):
    """As :func:`facecli.render.pictures._clay` of smooth normals, into `layer` [h, w, 4]: RGB and coverage.

    Args:
        corners: [F, 3, 3] normals at the triangles' corners, of the side that is seen.
        lights: [2, 3] directions to the lamp, and half-way from it to the viewer.
        lighting: [5] of facecli.render.pictures.
    """
    ambient, sky, strength, wrap, shininess = lighting
    zero, most = np.float32(0), np.float32(255)
    for row in range(face_index.shape[0]):
        for column in range(face_index.shape[1]):
            face = face_index[row, column]
            if face < 0:
                continue
            a, b, c = bary[row, column, 0], bary[row, column, 1], bary[row, column, 2]
            x = a * corners[face, 0, 0] + b * corners[face, 1, 0] + c * corners[face, 2, 0]
            y = a * corners[face, 0, 1] + b * corners[face, 1, 1] + c * corners[face, 2, 1]
            z = max(a * corners[face, 0, 2] + b * corners[face, 1, 2] + c * corners[face, 2, 2], zero)
            length = max(np.sqrt(x * x + y * y + z * z), np.float32(1e-9))
            x, y, z = x / length, y / length, z / length
            lamp = max((x * lights[0, 0] + y * lights[0, 1] + z * lights[0, 2]) * (1 - wrap) + wrap, zero)
            brightness = ambient + sky * (y + 1) / 2 + strength * lamp
            shine = shininess * max(x * lights[1, 0] + y * lights[1, 1] + z * lights[1, 2], zero) ** 30
            for channel in range(3):
                layer[row, column, channel] = min(max(brightness * color[channel] + shine, zero), most)
            layer[row, column, 3] = 1


@jit
def lay_over(target, photo, layer, opacity):
    """As :func:`facecli.render.pictures._lay_over`: `layer` [h, w, 4] over `target` uint8 [h, w, 3]."""
    for row in range(target.shape[0]):
        for column in range(target.shape[1]):
            coverage = layer[row, column, 3]
            if coverage > 0:
                for channel in range(3):
                    shown = (1 - opacity) * photo[row, column, channel] * coverage + opacity * layer[
                        row, column, channel
                    ]
                    value = target[row, column, channel] * (1 - coverage) + shown
                    target[row, column, channel] = np.uint8(min(max(value, np.float32(0)), np.float32(255)) + 0.5)
