//! A worker tells its coordinator of itself, and takes no harm from what it does not understand.

use protocol::control::{CoordinatorMessage, WorkerMessage};
use protocol::questions::{Answer, Question};
use protocol::rpc::Envelope;

use super::coordinator::Coordinator;
use super::lab::Lab;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_over_a_stream_that_unknown_messages_do_not_break() {
    let lab = Lab::new();
    let coordinator = Coordinator::start(&lab).await;
    let worker = lab.worker("asked", &coordinator.address);
    let first = coordinator.registered(worker.node).await;
    assert!(first.answers);
    for unknown in
        [r#"{"type":"of_a_later_version"}"#, r#"{"type":"ask","id":1,"question":{"type":"mood"}}"#]
    {
        let envelope = Envelope { payload: unknown.as_bytes().to_vec() };
        coordinator.send_raw(worker.node, envelope).await;
    }
    let log = Question::Log { after: None, last: 10 };
    for (id, question) in [(2, log), (3, Question::Check)] {
        coordinator.send(worker.node, &CoordinatorMessage::Ask { id, question }).await;
    }
    let answer = async |wanted: u64| {
        let found = coordinator.message("an answer", |_, message| match message {
            WorkerMessage::Answer { id, answer } if *id == wanted => Some(answer.clone()),
            _ => None,
        });
        found.await
    };
    assert!(matches!(answer(2).await, Answer::Log(_)));
    let Answer::Check(host) = answer(3).await else { panic!("another answer") };
    assert!(host.memory_available_bytes > 0 && host.clock_ms > 0, "{host:?}");
    assert!(host.memory_copy_bytes_per_second.is_some_and(|rate| rate > 0.0), "{host:?}");
}
