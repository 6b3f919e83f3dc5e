//! Questions to attached workers, and the answers that somebody waits for.

use std::time::Duration;

use protocol::control::CoordinatorMessage;
use protocol::ids::NodeId;
use protocol::questions::{Answer, Question};
use thiserror::Error;
use tokio::sync::oneshot;

use super::WorkerRegistry;

/// Far more than a look at a machine takes.
const DEADLINE: Duration = Duration::from_secs(10);
/// Of one worker.
const WAITING_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum AskError {
    #[error("it is not attached to this coordinator")]
    NotAttached,
    #[error("it runs an earlier version, which answers no questions")]
    Earlier,
    #[error("{} questions to it wait for their answers", WAITING_MAX)]
    TooMany,
    #[error("it does not read its control stream")]
    NotReading,
    #[error("its control stream ended before it answered")]
    Ended,
    #[error("it did not answer within {} s", .0.as_secs_f64())]
    Late(Duration),
}

impl WorkerRegistry {
    pub(crate) async fn ask(&self, node: NodeId, question: Question) -> Result<Answer, AskError> {
        self.ask_within(node, question, DEADLINE).await
    }

    /// To whoever asked for it; nobody where that is over.
    pub(crate) fn answered(&self, node: NodeId, id: u64, answer: Answer) {
        let mut workers = self.lock();
        let asked = workers.streams.get_mut(&node).and_then(|stream| stream.asked.remove(&id));
        if let Some(waiting) = asked {
            let _ = waiting.send(answer);
        }
    }

    async fn ask_within(
        &self,
        node: NodeId,
        question: Question,
        deadline: Duration,
    ) -> Result<Answer, AskError> {
        let (waiting, answer) = self.put(node, question)?;
        let answer = tokio::time::timeout(deadline, answer).await;
        drop(waiting);
        answer.map_err(|_| AskError::Late(deadline))?.map_err(|_| AskError::Ended)
    }

    fn put(
        &self,
        node: NodeId,
        question: Question,
    ) -> Result<(Waiting<'_>, oneshot::Receiver<Answer>), AskError> {
        let mut workers = self.lock();
        workers.last_question += 1;
        let id = workers.last_question;
        let stream = workers.streams.get_mut(&node).ok_or(AskError::NotAttached)?;
        if !stream.from.answers {
            return Err(AskError::Earlier);
        }
        if stream.asked.len() >= WAITING_MAX {
            return Err(AskError::TooMany);
        }
        let message = CoordinatorMessage::Ask { id, question };
        stream.outgoing.try_send(message).map_err(|_| AskError::NotReading)?;
        let (sender, answer) = oneshot::channel();
        stream.asked.insert(id, sender);
        Ok((Waiting { registry: self, node, id }, answer))
    }
}

/// Takes the question back when nobody waits any more.
struct Waiting<'a> {
    registry: &'a WorkerRegistry,
    node: NodeId,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.registry.lock().streams.get_mut(&self.node) {
            stream.asked.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::log_ring::LogPage;
    use tokio::sync::mpsc;

    use super::*;
    use crate::nodes::registry::{Attached, OUTGOING_MAX};

    const NODE: NodeId = NodeId([7; 32]);
    const LOG: Question = Question::Log { after: None, last: 1 };
    const SOON: Duration = Duration::from_secs(30);

    fn attached(answers: bool) -> (WorkerRegistry, mpsc::Receiver<CoordinatorMessage>, u64) {
        let registry = WorkerRegistry::default();
        let (outgoing, sent) = mpsc::channel(OUTGOING_MAX);
        let remote = ([127, 0, 0, 1], 1).into();
        let from = Attached { remote, instance: String::new(), answers };
        let (generation, _) = registry.attach(NODE, from, outgoing, SOON).expect("alone");
        (registry, sent, generation)
    }

    async fn next_id(sent: &mut mpsc::Receiver<CoordinatorMessage>) -> u64 {
        match sent.recv().await {
            Some(CoordinatorMessage::Ask { id, .. }) => id,
            other => panic!("{other:?}"),
        }
    }

    fn waiting(registry: &WorkerRegistry) -> usize {
        registry.lock().streams.get(&NODE).map_or(0, |stream| stream.asked.len())
    }

    #[tokio::test]
    async fn each_answer_goes_to_who_asked_for_it_and_to_nobody_from_another_node() {
        let (registry, mut sent, _) = attached(true);
        let page = |gap| Answer::Log(LogPage { lines: Vec::new(), gap });
        let answering = async {
            let (first, second) = (next_id(&mut sent).await, next_id(&mut sent).await);
            registry.answered(NodeId([8; 32]), first, Answer::Failed { reason: String::new() });
            registry.answered(NODE, second, page(true));
            registry.answered(NODE, first, page(false));
            registry.answered(NODE, first, page(true));
        };
        let (first, second, ()) =
            tokio::join!(registry.ask(NODE, LOG), registry.ask(NODE, LOG), answering);
        assert_eq!((first, second), (Ok(page(false)), Ok(page(true))));
        assert_eq!(waiting(&registry), 0);
    }

    #[tokio::test]
    async fn a_silent_worker_is_waited_for_until_the_deadline_and_nothing_is_left_of_it() {
        let (registry, _sent, _) = attached(true);
        let deadline = Duration::from_millis(20);
        let late = registry.ask_within(NODE, LOG, deadline).await;
        assert_eq!(late, Err(AskError::Late(deadline)));
        assert_eq!(waiting(&registry), 0);
        assert_eq!(AskError::Late(DEADLINE).to_string(), "it did not answer within 10 s");
    }

    #[tokio::test]
    async fn who_cannot_answer_is_not_asked_and_who_is_gone_is_not_waited_for() {
        let (registry, mut sent, _) = attached(false);
        assert_eq!(registry.ask(NODE, LOG).await, Err(AskError::Earlier));
        assert!(sent.try_recv().is_err(), "it would break its stream");
        assert_eq!(registry.ask(NodeId([8; 32]), LOG).await, Err(AskError::NotAttached));

        let (registry, mut sent, generation) = attached(true);
        let leaving = async {
            next_id(&mut sent).await;
            registry.detach(NODE, generation);
        };
        let (ended, ()) = tokio::join!(registry.ask(NODE, LOG), leaving);
        assert_eq!(ended, Err(AskError::Ended));
    }

    #[tokio::test]
    async fn questions_to_one_worker_have_a_bound() {
        let (registry, _sent, _) = attached(true);
        let held: Vec<_> =
            (0..WAITING_MAX).map(|_| registry.put(NODE, LOG).expect("room")).collect();
        assert_eq!(registry.ask(NODE, LOG).await, Err(AskError::TooMany));
        drop(held);
        assert_eq!(waiting(&registry), 0);
    }
}
