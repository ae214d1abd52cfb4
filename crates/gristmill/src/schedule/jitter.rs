use std::time::Duration;

use gristmill_core::Timestamp;

/// How long after `tick` the task of the schedule `name` starts: below `most`, and the same in every process of any version
/// and platform, so that two beats which compute one tick agree (`std`'s hasher promises none of that).
pub(super) fn jitter(name: &str, tick: Timestamp, most: Duration) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    if most == 0 {
        return Duration::ZERO;
    }
    // FNV-1a over the name and the instant, then the finish of SplitMix64: FNV alone leaves the low bits of neighbours alike.
    let bytes = name.bytes().chain(tick.as_millis().to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Duration::from_millis((mixed ^ (mixed >> 31)) % most)
}
