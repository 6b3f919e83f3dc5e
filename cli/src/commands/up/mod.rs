//! `trireme up`: a whole cluster of processes on this machine, a model split over it, an answer.

pub(super) mod demo_model;
mod process;
mod steps;

use std::path::PathBuf;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Chat, Up};
use crate::commands::chat::Conversation;
use crate::error::CliError;
use crate::output::Output;
use steps::Cluster;

const FIRST_QUESTION: &str = "What is Trireme?";

pub(crate) async fn run(args: Up, output: &Output) -> Result<(), CliError> {
    let temporary = match &args.data_dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("trireme-").tempdir().map_err(|e| {
            CliError::usage("cannot make a temporary folder", format!("{e}; name a --data-dir"))
        })?),
    };
    let named = args.data_dir.clone().map(|dir| std::path::absolute(&dir).unwrap_or(dir));
    let folder: PathBuf =
        named.or_else(|| temporary.as_ref().map(|t| t.path().to_owned())).unwrap_or_default();
    let mut cluster = Cluster::new(folder, &args)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let result = tokio::select! {
        result = serve(&mut cluster, &args, output) => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    output.note("\nstopping");
    cluster.stop().await;
    output.note("stopped");
    result
}

fn no_signals(error: std::io::Error) -> CliError {
    CliError::internal(&error.to_string())
}

/// Ends only with `--once`, on a failure, or when a process of the cluster keeps ending by itself.
async fn serve(cluster: &mut Cluster, args: &Up, output: &Output) -> Result<(), CliError> {
    let begun = Instant::now();
    let model = cluster.start(args, output).await?;
    output.note(&format!("ready in {:.1} s\n", begun.elapsed().as_secs_f64()));
    let question = args.prompt.as_deref().unwrap_or(FIRST_QUESTION);
    output.note(&format!("> {question}"));
    let chat = Chat {
        model: Some(model.clone()),
        message: None,
        system: None,
        temperature: 0.0,
        seed: None,
        max_tokens: None,
    };
    Conversation::new(model.clone(), &chat).turn(&cluster.client()?, question).await?;
    if args.once {
        return Ok(());
    }
    output.note(&snippets(&cluster.api(), &model));
    cluster.watch(output).await
}

fn snippets(api: &str, model: &str) -> String {
    format!(
        r#"
The endpoint stays up: {api}/v1 (no key needed on this machine). Ctrl-C stops everything.

  curl {api}/v1/chat/completions -H 'Content-Type: application/json' \
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="{api}/v1", api_key="none")
  messages = [{{"role": "user", "content": "Hello"}}]
  answer = client.chat.completions.create(model="{model}", messages=messages)
  print(answer.choices[0].message.content)

  trireme chat --api {api}        trireme node ls --api {api}
"#
    )
}
