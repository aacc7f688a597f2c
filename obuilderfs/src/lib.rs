//! `obuilderfs`: one mount point, and under it each user's own tree, found through a [`scoreboard`].
pub mod scoreboard;
