//! What somebody may be on a server.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What somebody wants to be on a server, or what a token lets him be.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees and hears streams.
    #[default]
    Watch,
    /// Sends a stream.
    Publish,
    /// Sees what goes on with streams, and has a say in how they play.
    Control,
    /// Sees who is there, and sends people away.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Watch, Self::Publish, Self::Control, Self::Admin];

    /// As people, scripts and the wire write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Publish => "publish",
            Self::Control => "control",
            Self::Admin => "admin",
        }
    }

    /// The role of this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether who may be this may be `wanted`. Whoever administers may also control; nothing else follows from anything:
    /// watching least of all.
    pub fn includes(self, wanted: Self) -> bool {
        self == wanted || (self == Self::Admin && wanted == Self::Control)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_is_another_but_administration_includes_control() {
        for have in Role::ALL {
            assert_eq!(Role::from_name(have.name()), Some(have));
            for wanted in Role::ALL {
                let granted = have == wanted || (have, wanted) == (Role::Admin, Role::Control);
                assert_eq!(have.includes(wanted), granted, "{have} {wanted}");
            }
        }
        assert_eq!(Role::from_name("Watch"), None);
    }
}
