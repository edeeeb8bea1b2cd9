"""Loops over texels and cells, compiled by numba: they run without the GIL, so that the threads that write faces help
each other. Whoever calls them has the same in numpy, for machines without numba.
"""

from __future__ import annotations

import numpy as np

from facecli.render.jit import jit

# numba takes a plain 1 for an integer, and a float32 with an integer for a float64.
_ZERO, _HALF, _ONE, _TWO, _THREE = (np.float32(value) for value in (0, 0.5, 1, 2, 3))
_WHITE, _TINY = np.float32(255), np.float32(1e-6)


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
    size = weight.shape[0]
    flat_weight, flat_known = weight.reshape(-1), known.reshape(-1)
    cells_per_texel = np.float32(shift.shape[0] / size)
    twin, moved = np.empty(3, np.float32), np.empty(3, np.float32)
    for index in range(texels.size):
        texel = texels[index]
        own = flat_weight[texel]
        if own >= certain + certain_with_twin:
            flat_known[texel] = _ONE
            continue
        twin_weight = _weighted_bilinear(texture, weight, twins[index, 0], twins[index, 1], twin)
        share = _smoothstep(own / (certain + certain_with_twin * twin_weight))
        twin_share = (_ONE - share) * twin_weight
        total = share + twin_share
        flat_known[texel] = min(total, _ONE)
        if twin_share > _ZERO:
            row, column = texel // size, texel % size
            x = (np.float32(column) + _HALF) * cells_per_texel - _HALF
            y = (np.float32(row) + _HALF) * cells_per_texel - _HALF
            _bilinear(shift, x, y, moved)
            for channel in range(3):
                twin_color = min(max(twin[channel] + moved[channel], _ZERO), _WHITE)
                color = (share * texture[row, column, channel] + twin_share * twin_color) / total
                colors[row, column, channel] = np.uint8(color + _HALF)


@jit
def _smoothstep(x):
    x = min(max(x, _ZERO), _ONE)
    return x * x * (_THREE - _TWO * x)


@jit
def _weighted_bilinear(texture, weight, x, y, color):
    """`color` [3] = mean of the four texels around `x`, `y` by their `weight`; returns the mean weight."""
    left, top = int(np.floor(x)), int(np.floor(y))
    right_part, lower_part = x - np.float32(left), y - np.float32(top)
    red, green, blue, total = _ZERO, _ZERO, _ZERO, _ZERO
    for row in range(max(top, 0), min(top + 2, weight.shape[0])):
        for column in range(max(left, 0), min(left + 2, weight.shape[1])):
            part = (right_part if column > left else _ONE - right_part) * weight[row, column]
            if part > _ZERO:
                part *= lower_part if row > top else _ONE - lower_part
                total += part
                red += part * np.float32(texture[row, column, 0])
                green += part * np.float32(texture[row, column, 1])
                blue += part * np.float32(texture[row, column, 2])
    scale = _ONE / max(total, _TINY)
    color[0], color[1], color[2] = red * scale, green * scale, blue * scale
    return total


@jit
def _bilinear(picture, x, y, value):
    """`value` [3] = `picture` [h, w, 3] at `x`, `y`; its border goes on outside."""
    bottom, right = picture.shape[0] - 1, picture.shape[1] - 1
    x, y = min(max(x, _ZERO), np.float32(right)), min(max(y, _ZERO), np.float32(bottom))
    left, top = int(x), int(y)
    next_column, next_row = min(left + 1, right), min(top + 1, bottom)
    right_part, lower_part = x - np.float32(left), y - np.float32(top)
    for channel in range(3):
        upper, lower = picture[top, left, channel], picture[next_row, left, channel]
        upper += (picture[top, next_column, channel] - upper) * right_part
        lower += (picture[next_row, next_column, channel] - lower) * right_part
        value[channel] = upper + (lower - upper) * lower_part


@jit
def shade_clay(face_index, bary, corners, lights, lighting, color, layer):
    """As :func:`facecli.render.pictures._clay` of smooth normals, into `layer` [h, w, 4]: RGB and coverage.

    Args:
        corners: [F, 3, 3] normals at the triangles' corners, of the side that is seen.
        lights: [2, 3] directions to the lamp, and half-way from it to the viewer.
        lighting: [5] of facecli.render.pictures.
    """
    ambient, sky, strength, wrap, shininess = lighting
    for row in range(face_index.shape[0]):
        for column in range(face_index.shape[1]):
            face = face_index[row, column]
            if face < 0:
                continue
            a, b, c = bary[row, column, 0], bary[row, column, 1], bary[row, column, 2]
            x = a * corners[face, 0, 0] + b * corners[face, 1, 0] + c * corners[face, 2, 0]
            y = a * corners[face, 0, 1] + b * corners[face, 1, 1] + c * corners[face, 2, 1]
            z = max(a * corners[face, 0, 2] + b * corners[face, 1, 2] + c * corners[face, 2, 2], _ZERO)
            length = max(np.sqrt(x * x + y * y + z * z), _TINY)
            x, y, z = x / length, y / length, z / length
            lamp = max((x * lights[0, 0] + y * lights[0, 1] + z * lights[0, 2]) * (_ONE - wrap) + wrap, _ZERO)
            brightness = ambient + sky * (y + _ONE) * _HALF + strength * lamp
            shine = shininess * max(x * lights[1, 0] + y * lights[1, 1] + z * lights[1, 2], _ZERO) ** 30
            for channel in range(3):
                layer[row, column, channel] = min(max(brightness * color[channel] + shine, _ZERO), _WHITE)
            layer[row, column, 3] = _ONE


@jit
def lay_over(target, photo, layer, opacity):
    """As :func:`facecli.render.pictures._lay_over`: `layer` [h, w, 4] over `target` uint8 [h, w, 3]."""
    for row in range(target.shape[0]):
        for column in range(target.shape[1]):
            coverage = layer[row, column, 3]
            if coverage > _ZERO:
                for channel in range(3):
                    shown = (_ONE - opacity) * np.float32(photo[row, column, channel]) * coverage
                    shown += opacity * layer[row, column, channel]
                    value = np.float32(target[row, column, channel]) * (_ONE - coverage) + shown
                    target[row, column, channel] = np.uint8(min(max(value, _ZERO), _WHITE) + _HALF)
