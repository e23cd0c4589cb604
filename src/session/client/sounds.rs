//! Which packets of sound came: where datagrams or links may be lost, each comes more than once.

/// Which packets of sound came.
#[derive(Debug, Default)]
pub struct Sounds {
    newest: Option<u64>,
    /// By distance from the newest.
    came: u64,
}

impl Sounds {
    /// Whether this one is new; one from too far back never is.
    pub fn is_new(&mut self, seq: u64) -> bool {
        let Some(newest) = self.newest else {
            (self.newest, self.came) = (Some(seq), 1);
            return true;
        };
        if seq > newest {
            let by = u32::try_from(seq - newest).unwrap_or(u32::MAX);
            self.came = self.came.checked_shl(by).unwrap_or(0) | 1;
            self.newest = Some(seq);
            return true;
        }
        let bit = u32::try_from(newest - seq).map_or(0, |by| 1_u64.checked_shl(by).unwrap_or(0));
        let new = bit != 0 && self.came & bit == 0;
        self.came |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_that_comes_twice_or_late_is_taken_once() {
        let mut sounds = Sounds::default();
        let told: Vec<bool> = [70, 71, 70, 73, 72, 72, 73, 200, 72, 199, 137, 136, 199]
            .map(|seq| sounds.is_new(seq))
            .to_vec();
        let new = [
            true, true, false, true, true, false, false, true, false, true, true, false, false,
        ];
        assert_eq!(told, new);
    }
}
