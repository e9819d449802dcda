//! What a custodian does to one version: suspend, resume, mark compromised, retire, schedule, destroy.

use std::time::Duration;

use super::{
    ATTEMPTS, Keys, KeysError,
    entry::Op,
    life::{Refused, State, Turn},
    ring::Ring,
    state::Draft,
    store::Appended,
};

/// A version was turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The ring.
    pub ring: Ring,
    /// The version.
    pub version: u32,
    /// What it was before.
    pub from: State,
    /// What it is now.
    pub to: State,
    /// From when on it may be destroyed.
    pub due: Option<Duration>,
    /// The entry of the log that says so.
    pub epoch: u64,
    /// Whether every live replica goes by it.
    pub in_force: bool,
}

impl Keys {
    /// What a turn would lead to, or why it is refused. Changes nothing.
    pub fn foresee(&self, ring: Ring, version: u32, turn: Turn) -> Result<Change, KeysError> {
        let mut writer = self.writer();
        writer.catch_up()?;
        let found = writer.state.rings()?.version(ring, version);
        let found = found.ok_or(KeysError::NoVersion { ring, version })?;
        let from = found.state();
        let refused = |remedy| Refused { ring, version, state: from, turn, remedy };
        if turn == Turn::Activate {
            return Err(
                refused("`labseal keys rotate` activates, when every replica knows it").into()
            );
        }
        if turn == Turn::Destroy && found.is_in_log {
            return Err(refused(
                "an entry of format 1 holds its wrapped key, and the log forgets nothing",
            )
            .into());
        }
        let after = found.standing.turned(turn, self.0.clock.wall()).map_err(refused)?;
        let epoch = writer.state.log().next();
        Ok(Change { ring, version, from, to: after.state, due: after.due, epoch, in_force: false })
    }

    /// Turns a version. Before one is retired or destroyed, every live replica has to have acknowledged
    /// what was done to it before: that another one seals, that it opens nothing. Afterwards it is
    /// waited for their acknowledgement, but what is done is done. Activation is [`Keys::rotate`]'s.
    pub fn turn(
        &self,
        ring: Ring,
        version: u32,
        turn: Turn,
        wait: Duration,
    ) -> Result<Change, KeysError> {
        if matches!(turn, Turn::Destroy | Turn::Retire) {
            let change = self.foresee(ring, version, turn)?;
            self.acknowledged(change.epoch.saturating_sub(1), wait)?;
        }
        for _ in 0..ATTEMPTS {
            let change = self.foresee(ring, version, turn)?;
            let mut writer = self.writer();
            if writer.state.log().next() != change.epoch {
                continue;
            }
            let mut draft = Draft::from(op(ring, version, turn));
            if turn == Turn::Destroy {
                draft.change.deletes.insert(format!("ring/{ring}/{version}"));
            }
            if writer.commit(draft, self.0.clock.as_ref())? == Appended::Done {
                self.0.publish(&mut writer)?;
                drop(writer);
                let in_force = self.acknowledged(change.epoch, wait).is_ok();
                return Ok(Change { in_force, ..change });
            }
        }
        Err(KeysError::Contended)
    }
}

fn op(ring: Ring, version: u32, turn: Turn) -> Op {
    match turn {
        Turn::Activate => Op::Activate { ring, version },
        Turn::Compromise => Op::Compromise { ring, version },
        Turn::Destroy => Op::Destroy { ring, version },
        Turn::Resume => Op::Resume { ring, version },
        Turn::Retire => Op::Retire { ring, version },
        Turn::Schedule(due) => Op::Schedule { ring, version, due },
        Turn::Suspend => Op::Suspend { ring, version },
        Turn::Undo => Op::Undo { ring, version },
        Turn::Unretire => Op::Unretire { ring, version },
    }
}
