//! Biases of zeros that quantisers write for every matrix, also of models that have none.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use protocol::model_spec::ModelSpec;

use crate::error::CheckpointError;
use crate::layout::expected_tensors;
use crate::tensor::TensorEntry;

/// No bias is longer than the widest matrix that is read.
const BIAS_BYTES_MAX: u64 = 64 << 20;

/// Drops the biases of quantised matrices that the model does not have, if they are zeros.
pub(super) fn drop_zeros(
    spec: &ModelSpec,
    files: &[PathBuf],
    tensors: &mut Vec<TensorEntry>,
) -> Result<(), CheckpointError> {
    let codes = |stem: &str| [format!("{stem}.gptq_codes"), format!("{stem}.awq_codes")];
    let names: BTreeSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let quantised = |tensor: &TensorEntry| {
        let stem = tensor.name.strip_suffix(".bias")?;
        codes(stem).iter().any(|name| names.contains(name.as_str())).then_some(())
    };
    if !tensors.iter().any(|tensor| quantised(tensor).is_some()) {
        return Ok(());
    }
    let expected: BTreeSet<String> = expected_tensors(spec).into_iter().map(|t| t.name).collect();
    let mut surplus = BTreeSet::new();
    for tensor in tensors.iter().filter(|tensor| !expected.contains(&tensor.name)) {
        if quantised(tensor).is_some() && tensor.bytes <= BIAS_BYTES_MAX {
            let Some(path) = files.get(tensor.file as usize) else { continue };
            let io = |source| CheckpointError::Io { path: path.clone(), source };
            let mut bytes = vec![0; tensor.bytes as usize];
            File::open(path)
                .and_then(|f| f.read_exact_at(&mut bytes, tensor.offset))
                .map_err(io)?;
            if bytes.iter().all(|byte| *byte == 0) {
                surplus.insert(tensor.name.clone());
            }
        }
    }
    tensors.retain(|tensor| !surplus.contains(&tensor.name));
    Ok(())
}
