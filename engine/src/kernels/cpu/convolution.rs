//! A causal convolution within each channel, one position at a time.

use super::exp::exp;

widened! {
    /// Replaces a position's inputs `x` (`[channels]`) by `silu(sum of taps * inputs)`: the last
    /// tap meets `x`, those before it `past` (`[taps - 1, channels]`, the oldest first), which then
    /// moves on by a position. `taps` is `[taps, channels]`; sums go from the oldest to `x`.
    fn convolve(taps: &[f32], past: &mut [f32], x: &mut [f32]) = convolve_body
}

#[inline(always)]
fn convolve_body(taps: &[f32], past: &mut [f32], x: &mut [f32]) {
    let channels = x.len();
    let rows = past.len() / channels;
    for channel in 0..channels {
        let mut sum = 0.0;
        for row in 0..rows {
            sum += taps[row * channels + channel] * past[row * channels + channel];
        }
        sum += taps[rows * channels + channel] * x[channel];
        for row in 1..rows {
            past[(row - 1) * channels + channel] = past[row * channels + channel];
        }
        if rows > 0 {
            past[(rows - 1) * channels + channel] = x[channel];
        }
        x[channel] = sum / (1.0 + exp(-sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_position_sees_the_last_taps_and_nothing_before_the_first() {
        let (channels, length) = (37, 6);
        let taps: Vec<f32> = (0..4 * channels).map(|i| (i % 13) as f32 * 0.1 - 0.5).collect();
        let inputs: Vec<f32> =
            (0..length * channels).map(|i| (i % 29) as f32 * 0.1 - 1.4).collect();
        let (mut past, mut plain) = (vec![0.0; 3 * channels], vec![0.0; 3 * channels]);
        for position in 0..length {
            let mut x = inputs[position * channels..(position + 1) * channels].to_vec();
            let mut same = x.clone();
            convolve(&taps, &mut past, &mut x);
            convolve_body(&taps, &mut plain, &mut same);
            assert_eq!(x.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), bits(&same));
            for channel in 0..channels {
                let seen = (0..4).filter(|tap| position + tap >= 3);
                let sum: f64 = seen
                    .map(|tap| {
                        let input = inputs[(position + tap - 3) * channels + channel];
                        f64::from(taps[tap * channels + channel]) * f64::from(input)
                    })
                    .sum();
                let expected = sum / (1.0 + (-sum).exp());
                assert!((f64::from(x[channel]) - expected).abs() < 1e-6, "{position} {channel}");
            }
        }
    }

    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|x| x.to_bits()).collect()
    }
}
