//! The block of all attention decoders: each half normalises its input and adds its output.

/// What layers are made of on one kind of device.
pub(crate) trait Made {
    type Norm;
    type Attention;
    type FeedForward;
    type PerLayerInput;
}

/// `h += norm?(attention(norm(h))); h += norm?(feed_forward(norm(h)))`
pub(crate) struct ResidualBlock<M: Made> {
    pub(crate) attention_norm: M::Norm,
    /// Or what stands in its place.
    pub(crate) attention: M::Attention,
    /// Of what attention adds (Gemma).
    pub(crate) attention_post_norm: Option<M::Norm>,
    pub(crate) ffn_norm: M::Norm,
    pub(crate) feed_forward: M::FeedForward,
    pub(crate) beside: Option<BesideExperts<M>>,
    pub(crate) ffn_post_norm: Option<M::Norm>,
    /// Of the small kinds of Gemma 4.
    pub(crate) per_layer_input: Option<M::PerLayerInput>,
    /// Factor of the rows that leave the layer (Gemma 4).
    pub(crate) output_scale: Option<f32>,
}

/// Experts beside a dense feed-forward, which read the same rows by norms of their own (Gemma 4):
/// `norm(dense) + norm(experts)` is what the two give.
pub(crate) struct BesideExperts<M: Made> {
    /// Of what the dense one gives.
    pub(crate) dense_post_norm: M::Norm,
    pub(crate) router_norm: M::Norm,
    pub(crate) norm: M::Norm,
    pub(crate) experts: M::FeedForward,
    pub(crate) post_norm: M::Norm,
}

impl<M: Made> ResidualBlock<M> {
    /// The two halves, and nothing behind them.
    pub(crate) fn plain(
        (attention_norm, attention): (M::Norm, M::Attention),
        (ffn_norm, feed_forward): (M::Norm, M::FeedForward),
    ) -> Self {
        Self {
            attention_norm,
            attention,
            attention_post_norm: None,
            ffn_norm,
            feed_forward,
            beside: None,
            ffn_post_norm: None,
            per_layer_input: None,
            output_scale: None,
        }
    }

    pub(crate) fn norms(&self) -> impl Iterator<Item = &M::Norm> {
        let post = [&self.attention_post_norm, &self.ffn_post_norm].into_iter().flatten();
        let beside = self.beside.iter().flat_map(|beside| {
            [&beside.dense_post_norm, &beside.router_norm, &beside.norm, &beside.post_norm]
        });
        post.chain(beside).chain([&self.attention_norm, &self.ffn_norm])
    }

    pub(crate) fn feed_forwards(&self) -> impl Iterator<Item = &M::FeedForward> {
        let beside = self.beside.iter().map(|beside| &beside.experts);
        std::iter::once(&self.feed_forward).chain(beside)
    }
}
