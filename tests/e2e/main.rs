//! Real processes on loopback: what a user of the cluster sees, also when nodes die.

mod admin_document;
mod all_killed;
mod api_edge;
mod bad_input;
mod drains;
mod exit_codes;
mod full_disk;
mod group_of_five;
mod help_examples;
mod identity;
mod keys_and_audit;
mod later_coordinators;
mod leaders_die;
mod load;
mod nodes_die;
mod option_layers;
mod output;
mod recurrent_state;
mod same_text;
mod secrets;
mod strangers;
mod tensor_parallel;
mod too_big;
mod up;
mod weight_types;
