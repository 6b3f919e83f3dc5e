//! What a coordinator is asked about itself: by people at its API, and through other coordinators.

use std::sync::Arc;
use std::time::Duration;

use protocol::control::{CoordinatorAddress, Role};
use protocol::log_ring::LogRing;
use protocol::questions::{Answer, Question};
use protocol::rpc::questions_client::QuestionsClient;
use protocol::rpc::{ENVELOPE_BYTES_MAX, Envelope, questions_server};
use protocol::transport::NodeTls;
use protocol::transport::grpc::require_role;
use tonic::{Request, Response, Status};

use crate::identity::dial;
use crate::raft::Consensus;

const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct QuestionService {
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) log: LogRing,
}

#[tonic::async_trait]
impl questions_server::Questions for QuestionService {
    async fn ask(&self, request: Request<Envelope>) -> Result<Response<Envelope>, Status> {
        let peer = require_role(&request, Role::Coordinator)?;
        if !self.consensus.state().members.contains_key(&peer.node) {
            return Err(Status::permission_denied(format!("{peer} is not a member")));
        }
        let question: Question = request
            .get_ref()
            .unpack("Question")
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let answer = Envelope::pack("Answer", &answer(&self.log, &question));
        answer.map(Response::new).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Of this coordinator about itself.
pub(crate) fn answer(log: &LogRing, question: &Question) -> Answer {
    match *question {
        Question::Log { after, last } => Answer::Log(log.after(after, last as usize)),
        Question::Check => {
            Answer::Failed { reason: "a coordinator does not look at its machine".to_owned() }
        }
    }
}

pub(crate) async fn ask_coordinator(
    tls: &NodeTls,
    to: &CoordinatorAddress,
    question: &Question,
) -> Result<Answer, String> {
    let asking = async {
        let mut client = QuestionsClient::new(dial(tls, to).await?)
            .max_decoding_message_size(ENVELOPE_BYTES_MAX);
        let question = Envelope::pack("Question", question).map_err(|e| e.to_string())?;
        let answer = client.ask(question).await.map_err(|s| s.message().to_owned())?;
        answer.into_inner().unpack("Answer").map_err(|e| e.to_string())
    };
    let late = |_| format!("it did not answer within {} s", TIMEOUT.as_secs());
    tokio::time::timeout(TIMEOUT, asking).await.map_err(late)?
}
