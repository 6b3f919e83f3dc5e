//! A pipeline of processes joined by pipes: each holds its part of the layers on the same device.
//!
//! A frame is four numbers of 32 bits, little-endian: first sequence, sequences, position, bytes
//! that follow. Behind the last stage no bytes follow: the frame says that a step is done.

use std::error::Error;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use protocol::model_spec::LayerRange;

use crate::shape_stage::{ShapeStage, Step};

/// The layers of stage `index` of `of`.
pub fn part(layers: u32, index: u32, of: u32) -> LayerRange {
    LayerRange::new(layers * index / of, layers * (index + 1) / of)
}

/// Decodes what comes on `input` until that ends; `is_first`: from tokens.
pub fn serve(
    stage: &mut ShapeStage,
    is_first: bool,
    mut input: impl Read,
    mut output: impl Write,
) -> Result<(), Box<dyn Error>> {
    let mut activations = Vec::new();
    while let Some((step, bytes)) = receive(&mut input)? {
        activations.resize(bytes, 0);
        input.read_exact(&mut activations)?;
        let own = (!is_first).then_some(&activations[..]);
        stage.run(step, own, |bytes| send(&mut output, step, bytes))?;
    }
    Ok(())
}

pub struct ProcessChain {
    children: Vec<Child>,
    first: Option<ChildStdin>,
    last: ChildStdout,
}

impl ProcessChain {
    /// `commands`: of each stage, in order. Returns when all have loaded.
    pub fn start(commands: Vec<Command>) -> Result<Self, Box<dyn Error>> {
        let (mut children, mut first, mut before) = (Vec::new(), None, None);
        for mut command in commands {
            let input = before.take().map_or_else(Stdio::piped, Stdio::from);
            let mut child = command.stdin(input).stdout(Stdio::piped()).spawn()?;
            first = first.or_else(|| child.stdin.take());
            before = child.stdout.take();
            children.push(child);
        }
        let last = before.ok_or("a chain needs a process")?;
        let mut chain = Self { children, first, last };
        // Kernels load with the first step.
        chain.one_after_another(2, 0)?;
        Ok(chain)
    }

    /// Steps of one row, each behind the end of the one before.
    pub fn one_after_another(
        &mut self,
        tokens: u32,
        context: u32,
    ) -> Result<Duration, Box<dyn Error>> {
        let begun = Instant::now();
        for position in context..context + tokens {
            self.send(Step { first: 0, sequences: 1, position, rows: 1 })?;
            self.wait()?;
        }
        Ok(begun.elapsed())
    }

    /// Groups of sequences that are all under way at once, a row of each at a time.
    pub fn together(
        &mut self,
        groups: u32,
        sequences: u32,
        tokens: u32,
        context: u32,
    ) -> Result<Duration, Box<dyn Error>> {
        let step =
            |group: u32, position| Step { first: group * sequences, sequences, position, rows: 1 };
        let begun = Instant::now();
        for group in 0..groups {
            self.send(step(group, context))?;
        }
        for position in context + 1..=context + tokens {
            for group in 0..groups {
                self.wait()?;
                if position < context + tokens {
                    self.send(step(group, position))?;
                }
            }
        }
        Ok(begun.elapsed())
    }

    fn send(&mut self, step: Step) -> io::Result<()> {
        self.first.as_mut().map_or(Ok(()), |first| send(first, step, &[]))
    }

    fn wait(&mut self) -> Result<(), Box<dyn Error>> {
        receive(&mut self.last)?.ok_or("a stage's process ended: see above")?;
        Ok(())
    }
}

impl Drop for ProcessChain {
    fn drop(&mut self) {
        // The first stage ends with its input, each other with the one before it.
        self.first = None;
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

fn send(output: &mut impl Write, step: Step, bytes: &[u8]) -> io::Result<()> {
    let numbers = [step.first, step.sequences, step.position, bytes.len() as u32];
    output.write_all(&numbers.map(u32::to_le_bytes).concat())?;
    output.write_all(bytes)?;
    output.flush()
}

/// The next step and the number of bytes behind it; none where the input ends.
fn receive(input: &mut impl Read) -> io::Result<Option<(Step, usize)>> {
    let mut numbers = [[0; 4]; 4];
    match input.read_exact(numbers.as_flattened_mut()) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let [first, sequences, position, bytes] = numbers.map(u32::from_le_bytes);
    Ok(Some((Step { first, sequences, position, rows: 1 }, bytes as usize)))
}

#[cfg(test)]
mod tests {
    use engine::Place;

    use super::*;
    use crate::shape_stage::Room;
    use crate::synthetic::{Shape, Synthetic};

    #[test]
    fn steps_pass_through_two_stages_and_come_out_done() {
        let model = Synthetic::new(Shape::Tiny, Some(2)).expect("a model");
        let place = Place::named("cpu").expect("a CPU");
        let steps = [(0, 1, 0), (0, 1, 1), (1, 3, 0)].map(|(first, sequences, position)| Step {
            first,
            sequences,
            position,
            rows: 1,
        });
        let mut frames = Vec::new();
        steps.iter().for_each(|step| send(&mut frames, *step, &[]).expect("written"));
        for index in 0..2 {
            let room = Room { sequences: 4, context: 16, rows: 4 };
            let layers = part(model.spec().layer_count(), index, 2);
            let mut stage = ShapeStage::load(&place, &model, layers, room).expect("loads");
            let mut out = Vec::new();
            serve(&mut stage, index == 0, &frames[..], &mut out).expect("served");
            frames = out;
        }
        let mut rest = &frames[..];
        let done = std::iter::from_fn(|| receive(&mut rest).expect("whole frames"));
        assert!(done.eq(steps.map(|step| (step, 0))));
    }
}
