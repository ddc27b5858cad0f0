"""Rotations and poses: quat_wxyz, rot6d, rotation vectors, twists.

A rotation is a matrix R (3, 3); `quat_wxyz` a unit quaternion, scalar first; `rot6d` the x axis then the y axis of R;
a rotation vector its axis times its angle [rad]. A twist is linear part first.

Note:
    Quaternion from matrix: Shepperd, "Quaternion from rotation matrix" (1978): the largest component first, so that
    nothing cancels. rot6d: Zhou et al., "On the continuity of rotation representations" (CVPR 2019), columns instead of
    rows. exp and log of SE(3): Lynch and Park, Modern Robotics (2017), section 3.3.3. Real-time: no allocation.
"""

import math

from robostral.arm.chain import FloatArray
from robostral.jit import kernel

Rows = tuple[float, float, float, float, float, float, float, float, float]
"""Rotation row by row: lives in registers."""


@kernel
def quat_from_matrix_kernel(R: FloatArray, quat_wxyz: FloatArray) -> None:
    """Compute the unit quaternion, shape (4,), with w >= 0, of a rotation, shape (3, 3)."""
    trace = R[0, 0] + R[1, 1] + R[2, 2]
    if trace > 0.0:
        w, x, y, z = 1.0 + trace, R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]
    elif R[0, 0] >= R[1, 1] and R[0, 0] >= R[2, 2]:
        w, x = R[2, 1] - R[1, 2], 1.0 + R[0, 0] - R[1, 1] - R[2, 2]
        y, z = R[0, 1] + R[1, 0], R[0, 2] + R[2, 0]
    elif R[1, 1] >= R[2, 2]:
        w, y = R[0, 2] - R[2, 0], 1.0 - R[0, 0] + R[1, 1] - R[2, 2]
        x, z = R[0, 1] + R[1, 0], R[1, 2] + R[2, 1]
    else:
        w, z = R[1, 0] - R[0, 1], 1.0 - R[0, 0] - R[1, 1] + R[2, 2]
        x, y = R[0, 2] + R[2, 0], R[1, 2] + R[2, 1]
    scale = math.copysign(1.0, w) / math.sqrt(w * w + x * x + y * y + z * z)
    quat_wxyz[0], quat_wxyz[1], quat_wxyz[2], quat_wxyz[3] = w * scale, x * scale, y * scale, z * scale


@kernel
def rows_from_quat_kernel(w: float, x: float, y: float, z: float) -> Rows:
    """Compute the rotation of a quaternion of any length but zero, row by row, in registers."""
    s = 2.0 / (w * w + x * x + y * y + z * z)
    return (
        1.0 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y),
        s * (x * y + w * z), 1.0 - s * (x * x + z * z), s * (y * z - w * x),
        s * (x * z - w * y), s * (y * z + w * x), 1.0 - s * (x * x + y * y),
    )  # fmt: skip


@kernel
def matrix_from_quat_kernel(quat_wxyz: FloatArray, R: FloatArray) -> None:
    """Compute the rotation, shape (3, 3), of a quaternion, shape (4,), of any length but zero."""
    rows = rows_from_quat_kernel(quat_wxyz[0], quat_wxyz[1], quat_wxyz[2], quat_wxyz[3])
    R[0, 0], R[0, 1], R[0, 2], R[1, 0], R[1, 1], R[1, 2], R[2, 0], R[2, 1], R[2, 2] = rows


@kernel
def rot6d_from_matrix_kernel(R: FloatArray, rot6d: FloatArray) -> None:
    """Flatten the first two columns of a rotation, shape (3, 3), column by column into shape (6,)."""
    for i in range(3):
        rot6d[i], rot6d[3 + i] = R[i, 0], R[i, 1]


@kernel
def matrix_from_rot6d_kernel(rot6d: FloatArray, R: FloatArray) -> None:
    """Compute the rotation, shape (3, 3), whose x axis is along the first three numbers and y axis near the others.

    Note:
        Gram-Schmidt; the two axes may have any length, but must not be parallel.
    """
    x0, x1, x2, y0, y1, y2 = rot6d[0], rot6d[1], rot6d[2], rot6d[3], rot6d[4], rot6d[5]
    s = 1.0 / math.sqrt(x0 * x0 + x1 * x1 + x2 * x2)
    x0, x1, x2 = x0 * s, x1 * s, x2 * s
    along = x0 * y0 + x1 * y1 + x2 * y2
    y0, y1, y2 = y0 - along * x0, y1 - along * x1, y2 - along * x2
    s = 1.0 / math.sqrt(y0 * y0 + y1 * y1 + y2 * y2)
    y0, y1, y2 = y0 * s, y1 * s, y2 * s
    R[0, 0], R[0, 1], R[0, 2] = x0, y0, x1 * y2 - x2 * y1
    R[1, 0], R[1, 1], R[1, 2] = x1, y1, x2 * y0 - x0 * y2
    R[2, 0], R[2, 1], R[2, 2] = x2, y2, x0 * y1 - x1 * y0


@kernel
def rotvec_from_rows_kernel(rows: Rows) -> tuple[float, float, float]:
    """Compute the rotation vector [rad] of a rotation given row by row, in registers; its length is at most pi."""
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = rows
    trace = r00 + r11 + r22
    x, y, z = r21 - r12, r02 - r20, r10 - r01
    sine2 = math.sqrt(x * x + y * y + z * z)  # 2 sin(angle)
    if trace > -0.9:
        angle = math.atan2(sine2, trace - 1.0)
        scale = angle / sine2 if sine2 > 1e-7 else 0.5 + sine2 * sine2 / 48.0
        return x * scale, y * scale, z * scale
    # Near half a turn the antisymmetric part vanishes: take the axis from the symmetric part.
    half_w, sign = sine2, 1.0
    if r00 >= r11 and r00 >= r22:
        a, b, c = 1.0 + r00 - r11 - r22, r01 + r10, r02 + r20
        sign = math.copysign(1.0, x)
    elif r11 >= r22:
        a, b, c = r01 + r10, 1.0 - r00 + r11 - r22, r12 + r21
        sign = math.copysign(1.0, y)
    else:
        a, b, c = r02 + r20, r12 + r21, 1.0 - r00 - r11 + r22
        sign = math.copysign(1.0, z)
    angle = math.atan2(half_w, trace - 1.0)
    scale = sign * angle / math.sqrt(a * a + b * b + c * c)
    return a * scale, b * scale, c * scale


@kernel
def rotvec_from_matrix_kernel(R: FloatArray) -> tuple[float, float, float]:
    """Compute the rotation vector [rad] of a rotation, shape (3, 3), in registers; its length is at most pi."""
    return rotvec_from_rows_kernel((R[0, 0], R[0, 1], R[0, 2], R[1, 0], R[1, 1], R[1, 2], R[2, 0], R[2, 1], R[2, 2]))


@kernel
def rotvec_kernel(R: FloatArray, out: FloatArray) -> None:
    """Compute the rotation vector [rad], shape (3,), of a rotation, shape (3, 3): its logarithm."""
    out[0], out[1], out[2] = rotvec_from_matrix_kernel(R)


@kernel
def matrix_from_rotvec_kernel(rotvec: FloatArray, R: FloatArray) -> None:
    """Compute the rotation, shape (3, 3), of a rotation vector [rad], shape (3,): its exponential."""
    x, y, z = rotvec[0], rotvec[1], rotvec[2]
    angle = math.sqrt(x * x + y * y + z * z)
    half = 0.5 * angle
    w = math.cos(half)
    s = math.sin(half) / angle if angle > 1e-8 else 0.5
    x, y, z = s * x, s * y, s * z
    R[0, 0], R[0, 1], R[0, 2] = 1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)
    R[1, 0], R[1, 1], R[1, 2] = 2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)
    R[2, 0], R[2, 1], R[2, 2] = 2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)


@kernel
def exp_kernel(twist: FloatArray, T: FloatArray) -> None:
    """Compute the pose, shape (4, 4), that a twist, shape (6,), linear part first, reaches in one unit of time."""
    R = T[:3, :3]
    matrix_from_rotvec_kernel(twist[3:6], R)
    x, y, z = twist[3], twist[4], twist[5]
    angle2 = x * x + y * y + z * z
    if angle2 > 1e-6:
        angle = math.sqrt(angle2)
        b, c = (1.0 - math.cos(angle)) / angle2, (angle - math.sin(angle)) / (angle2 * angle)
    else:
        b, c = 0.5 - angle2 / 24.0, 1.0 / 6.0 - angle2 / 120.0
    v0, v1, v2 = twist[0], twist[1], twist[2]
    u0, u1, u2 = y * v2 - z * v1, z * v0 - x * v2, x * v1 - y * v0
    T[0, 3] = v0 + b * u0 + c * (y * u2 - z * u1)
    T[1, 3] = v1 + b * u1 + c * (z * u0 - x * u2)
    T[2, 3] = v2 + b * u2 + c * (x * u1 - y * u0)
    T[3, 0], T[3, 1], T[3, 2], T[3, 3] = 0.0, 0.0, 0.0, 1.0


@kernel
def log_kernel(T: FloatArray, twist: FloatArray) -> None:
    """Compute the twist, shape (6,), linear part first, that leads from the identity to a pose, shape (4, 4)."""
    x, y, z = rotvec_from_matrix_kernel(T)
    angle2 = x * x + y * y + z * z
    if angle2 > 1e-6:
        half = 0.5 * math.sqrt(angle2)
        d = (1.0 - half * math.cos(half) / math.sin(half)) / angle2
    else:
        d = 1.0 / 12.0 + angle2 / 720.0
    p0, p1, p2 = T[0, 3], T[1, 3], T[2, 3]
    u0, u1, u2 = y * p2 - z * p1, z * p0 - x * p2, x * p1 - y * p0
    twist[0] = p0 - 0.5 * u0 + d * (y * u2 - z * u1)
    twist[1] = p1 - 0.5 * u1 + d * (z * u0 - x * u2)
    twist[2] = p2 - 0.5 * u2 + d * (x * u1 - y * u0)
    twist[3], twist[4], twist[5] = x, y, z


@kernel
def compose_kernel(T_a_b: FloatArray, T_b_c: FloatArray, T_a_c: FloatArray) -> None:
    """Compute T_a_c = T_a_b @ T_b_c, all (4, 4); the output must be another array."""
    for i in range(3):
        for j in range(4):
            T_a_c[i, j] = T_a_b[i, 0] * T_b_c[0, j] + T_a_b[i, 1] * T_b_c[1, j] + T_a_b[i, 2] * T_b_c[2, j]
        T_a_c[i, 3] += T_a_b[i, 3]
    T_a_c[3, 0], T_a_c[3, 1], T_a_c[3, 2], T_a_c[3, 3] = 0.0, 0.0, 0.0, 1.0


@kernel
def inverse_kernel(T_a_b: FloatArray, T_b_a: FloatArray) -> None:
    """Compute the inverse of a pose, both (4, 4); the output must be another array."""
    for i in range(3):
        T_b_a[i, 0], T_b_a[i, 1], T_b_a[i, 2] = T_a_b[0, i], T_a_b[1, i], T_a_b[2, i]
        T_b_a[i, 3] = -(T_a_b[0, i] * T_a_b[0, 3] + T_a_b[1, i] * T_a_b[1, 3] + T_a_b[2, i] * T_a_b[2, 3])
    T_b_a[3, 0], T_b_a[3, 1], T_b_a[3, 2], T_b_a[3, 3] = 0.0, 0.0, 0.0, 1.0


@kernel
def adjoint_kernel(T_a_b: FloatArray, Ad: FloatArray) -> None:
    """Compute the matrix, shape (6, 6), that turns a twist seen in b into the same twist seen in a."""
    px, py, pz = T_a_b[0, 3], T_a_b[1, 3], T_a_b[2, 3]
    for j in range(3):
        x, y, z = T_a_b[0, j], T_a_b[1, j], T_a_b[2, j]
        Ad[0, j], Ad[1, j], Ad[2, j] = x, y, z
        Ad[3, 3 + j], Ad[4, 3 + j], Ad[5, 3 + j] = x, y, z
        Ad[0, 3 + j], Ad[1, 3 + j], Ad[2, 3 + j] = py * z - pz * y, pz * x - px * z, px * y - py * x
        Ad[3, j], Ad[4, j], Ad[5, j] = 0.0, 0.0, 0.0


@kernel
def interpolate_kernel(T_a: FloatArray, T_b: FloatArray, s: float, T: FloatArray) -> None:
    """Compute the pose the share s of the way from T_a to T_b, all (4, 4): straight line, constant axis of rotation."""
    R = T[:3, :3]
    for i in range(3):
        for j in range(3):
            R[i, j] = T_a[0, i] * T_b[0, j] + T_a[1, i] * T_b[1, j] + T_a[2, i] * T_b[2, j]
    x, y, z = rotvec_from_matrix_kernel(R)
    angle = math.sqrt(x * x + y * y + z * z)
    w, k = math.cos(0.5 * s * angle), math.sin(0.5 * s * angle) / angle if angle > 1e-12 else 0.5 * s
    r0, r1, r2, r3, r4, r5, r6, r7, r8 = rows_from_quat_kernel(w, k * x, k * y, k * z)
    for i in range(3):
        a, b, c = T_a[i, 0], T_a[i, 1], T_a[i, 2]
        T[i, 0], T[i, 1], T[i, 2] = a * r0 + b * r3 + c * r6, a * r1 + b * r4 + c * r7, a * r2 + b * r5 + c * r8
        T[i, 3] = T_a[i, 3] + s * (T_b[i, 3] - T_a[i, 3])
    T[3, 0], T[3, 1], T[3, 2], T[3, 3] = 0.0, 0.0, 0.0, 1.0
