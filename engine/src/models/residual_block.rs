//! The block of all attention decoders: each half normalises its input and adds its output.

/// What layers are made of on one kind of device.
pub(crate) trait Made {
    type Norm;
    type Attention;
    type FeedForward;
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
    pub(crate) ffn_post_norm: Option<M::Norm>,
}

impl<M: Made> ResidualBlock<M> {
    pub(crate) fn norms(&self) -> impl Iterator<Item = &M::Norm> {
        let post = [&self.attention_post_norm, &self.ffn_post_norm].into_iter().flatten();
        post.chain([&self.attention_norm, &self.ffn_norm])
    }
}
