//! Who acts: the owner of what is worked on, two kinds of members of its group, a stranger, and root.
use obuilder_tests::User;

pub(crate) const OWNER: u32 = 43_001;
pub(crate) const MEMBER: u32 = 43_002;
pub(crate) const BY_SUPPLEMENT: u32 = 43_003;
pub(crate) const STRANGER: u32 = 43_004;
pub(crate) const GROUP: u32 = 43_009;
/// A group that the owner is in besides its own.
pub(crate) const SECOND_GROUP: u32 = 43_010;

pub(crate) fn all() -> Vec<User> {
    vec![
        User { uid: OWNER, gid: OWNER, groups: vec![GROUP, SECOND_GROUP] },
        User { uid: MEMBER, gid: GROUP, groups: vec![] },
        User { uid: BY_SUPPLEMENT, gid: BY_SUPPLEMENT, groups: vec![7, GROUP] },
        User { uid: STRANGER, gid: STRANGER, groups: vec![7] },
        User::new(0),
    ]
}
