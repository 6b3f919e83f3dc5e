//! The end of a cluster: what it held goes with its workers, and nothing changes it any more.

use super::operations::OperationEnd;
use super::outcome::{Outcome, Refusal, RefusalCode};
use super::{State, Timestamp};

impl State {
    /// Coordinators stay members: they have to tell each other.
    pub(super) fn destroy(&mut self, cluster: &str) -> Result<Outcome, Refusal> {
        if cluster != self.cluster {
            return Err(Refusal::new(
                RefusalCode::Precondition,
                format!("this cluster is called `{}`, not `{cluster}`", self.cluster),
                "nothing was destroyed; see: trireme cluster status",
            ));
        }
        let operations: Vec<String> = self.operations.keys().cloned().collect();
        for id in operations {
            self.end_operation(&id, OperationEnd::Failed("the cluster was destroyed".into()));
        }
        let workers: Vec<_> = self.workers().map(|(node, _)| node).collect();
        for node in workers {
            self.members.remove(&node);
            self.removed.insert(node);
        }
        self.deployments.clear();
        self.models.clear();
        self.tokens.clear();
        self.keys.clear();
        self.destroyed = Some(self.clock);
        Ok(Outcome::Done)
    }

    pub(super) fn check_not_destroyed(&self) -> Result<(), Refusal> {
        match self.destroyed {
            None => Ok(()),
            Some(at) => Err(destroyed(&self.cluster, at)),
        }
    }
}

fn destroyed(cluster: &str, at: Timestamp) -> Refusal {
    let message = format!("the cluster `{cluster}` was destroyed at {at}");
    let hint = "nothing changes it any more, and its coordinators stop";
    Refusal::new(RefusalCode::Precondition, message, hint)
}
