/// FNV-1a in 64 bits: the same number on every machine and in every version, which no hasher of the standard library promises.
///
/// ```
/// assert_eq!(gristmill_core::kit::fnv("a".bytes()), 0xaf63_dc4c_8601_ec8c);
/// ```
pub fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
