//! What `CUDA_VISIBLE_DEVICES` hides, and what is wrong with it: CUDA itself says nothing.
//!
//! The variable lists numbers or identities (or their beginnings). CUDA stops reading at the first
//! entry that names no GPU, and shows none at all where one is named twice.

/// An entry that ends the list, or spoils it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) entry: String,
    pub(super) why: &'static str,
}

/// Which of the machine's GPUs (`uuids`) `variable` shows, in its order, and what is wrong with it.
/// Numbers count as NVML does, which is CUDA's order only where `CUDA_DEVICE_ORDER` is
/// `PCI_BUS_ID` or the GPUs are alike: who can ask CUDA itself believes that instead.
pub(super) fn shown(variable: Option<&str>, uuids: &[String]) -> (Vec<usize>, Option<Flaw>) {
    let Some(variable) = variable else { return ((0..uuids.len()).collect(), None) };
    let mut shown = Vec::new();
    for entry in variable.split(',').map(str::trim) {
        let flaw = |why| Some(Flaw { entry: entry.to_owned(), why });
        let found = match entry.parse::<i64>() {
            // The usual way to end the list on purpose, and to hide all.
            Ok(-1) => return (shown, None),
            Ok(number) => usize::try_from(number).ok().filter(|number| *number < uuids.len()),
            Err(_) if entry.is_empty() && shown.is_empty() => return (shown, None),
            Err(_) => match named(entry, uuids) {
                Ok(found) => found,
                Err(why) => return (shown, flaw(why)),
            },
        };
        let Some(found) = found else {
            let why = "names no GPU of this machine: CUDA hides it and all behind it";
            return (shown, flaw(why));
        };
        if shown.contains(&found) {
            return (Vec::new(), flaw("names a GPU a second time: CUDA hides all"));
        }
        shown.push(found);
    }
    (shown, None)
}

/// The GPU whose identity begins with `entry`.
fn named(entry: &str, uuids: &[String]) -> Result<Option<usize>, &'static str> {
    if entry.starts_with("MIG-") {
        return Err("is a part of a GPU (MIG), which is not looked into");
    }
    let is = |uuid: &String| entry.starts_with("GPU-") && uuid.starts_with(entry);
    let mut found = (0..uuids.len()).filter(|index| is(&uuids[*index]));
    let first = found.next();
    if found.next().is_some() {
        return Err("is the beginning of more than one GPU's identity: CUDA hides it");
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variable: Option<&str>, expected: &[usize], flawed: Option<&str>) {
        let uuids = ["GPU-aa10", "GPU-aa20", "GPU-bb30"].map(str::to_owned);
        let (shown, flaw) = shown(variable, &uuids);
        assert_eq!(shown, expected, "{variable:?}");
        assert_eq!(flaw.map(|f| f.entry).as_deref(), flawed, "{variable:?}");
    }

    #[test]
    fn numbers_and_identities_name_gpus_in_the_order_of_the_list() {
        check(None, &[0, 1, 2], None);
        check(Some("2,0"), &[2, 0], None);
        check(Some(" 1 , GPU-bb30"), &[1, 2], None);
        check(Some("GPU-aa2"), &[1], None);
        check(Some(""), &[], None);
        check(Some("-1"), &[], None);
        check(Some("1,-1,0"), &[1], None);
    }

    #[test]
    fn an_entry_that_names_nothing_hides_what_follows_and_is_told() {
        check(Some("0,7,1"), &[0], Some("7"));
        check(Some("GPU-cc,1"), &[], Some("GPU-cc"));
        check(Some("GPU-aa"), &[], Some("GPU-aa"));
        check(Some("1,MIG-GPU-aa10/0/0"), &[1], Some("MIG-GPU-aa10/0/0"));
        check(Some("0,,1"), &[0], Some(""));
        check(Some("cuda:1"), &[], Some("cuda:1"));
    }

    #[test]
    fn a_gpu_named_twice_hides_all() {
        check(Some("0,1,0"), &[], Some("0"));
        check(Some("0,GPU-aa10"), &[], Some("GPU-aa10"));
    }
}
