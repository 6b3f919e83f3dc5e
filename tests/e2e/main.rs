//! Real processes on loopback: what a user of the cluster sees, also when nodes die.

mod api_edge;
mod bad_input;
mod identity;
mod load;
mod nodes_die;
mod output;
mod recurrent_state;
mod same_text;
mod secrets;
mod strangers;
mod tensor_parallel;
mod three_coordinators;
mod too_big;
mod up;
mod weight_types;
