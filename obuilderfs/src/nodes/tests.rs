use std::ffi::OsStr;
use std::fs;

use super::*;
use crate::scoreboard::Scoreboard;
use crate::views::Views;

struct World {
    dir: tempfile::TempDir,
    view: Arc<View>,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let board = Scoreboard::create(&dir.path().join("board")).unwrap();
    fs::create_dir(dir.path().join("fallback")).unwrap();
    let fallback = fs::File::open(dir.path().join("fallback")).unwrap();
    let fallback = (dir.path(), fallback.into());
    let views = Views::new(board, None, &[], fallback).unwrap();
    let view = Arc::clone(views.fallback());
    World { dir, view }
}

fn look_up(nodes: &Nodes, world: &World, name: &str) -> Arc<Node> {
    let anchor = backing::anchor(world.view.home().as_fd(), OsStr::new(name)).unwrap();
    let stat = backing::stat(anchor.as_fd()).unwrap();
    nodes.found(&world.view, anchor, &stat, Where::Kept).unwrap()
}

fn write(world: &World, name: &str) {
    fs::write(world.dir.path().join("fallback").join(name), name).unwrap();
}

#[test]
fn two_names_of_one_file_are_one_node_until_both_look_ups_are_forgotten() {
    let (nodes, world) = (Nodes::new(64), world());
    write(&world, "a");
    let path = world.dir.path().join("fallback");
    fs::hard_link(path.join("a"), path.join("b")).unwrap();
    let id = look_up(&nodes, &world, "a").id;
    assert_eq!(look_up(&nodes, &world, "b").id, id);
    nodes.forget(id, 1);
    assert!(nodes.get(id).is_ok());
    nodes.forget(id, 1);
    assert_eq!(nodes.get(id).unwrap_err(), Errno::ESTALE);
    assert_eq!(nodes.len(), 0);
}

#[test]
fn an_inode_number_used_again_is_another_node() {
    let (nodes, world) = (Nodes::new(64), world());
    let path = world.dir.path().join("fallback");
    write(&world, "first");
    let first = look_up(&nodes, &world, "first");
    // Removed behind our back, so nothing tells us; the number comes back at once on ext4.
    nodes.recent.clear();
    first.close();
    fs::remove_file(path.join("first")).unwrap();
    write(&world, "second");
    let second = look_up(&nodes, &world, "second");
    assert_ne!(first.id, second.id);
    // Changes of either are told by its handle.
    let ids = |node: &Node| {
        let key = node.key().unwrap();
        assert!(nodes.may_know(&key));
        let found = nodes.by_handle(&[Arc::clone(&world.view)], &key);
        found.iter().map(|node| node.id).collect::<Vec<_>>()
    };
    assert_eq!((ids(&first), ids(&second)), (vec![first.id], vec![second.id]));
    nodes.forget(second.id, 1);
    assert_eq!(ids(&first), [first.id]);
    assert!(nodes.by_handle(&[Arc::clone(&world.view)], &second.key().unwrap()).is_empty());
}

#[test]
fn an_object_without_a_name_is_still_reached() {
    let (nodes, world) = (Nodes::new(64), world());
    write(&world, "a");
    let node = look_up(&nodes, &world, "a");
    let stat = backing::stat(nodes.anchor(&node).unwrap().as_fd()).unwrap();
    let departure = nodes.losing_name(&world.view, &stat).unwrap();
    fs::remove_file(world.dir.path().join("fallback/a")).unwrap();
    nodes.lost_name(departure);
    assert_eq!(backing::stat(nodes.anchor(&node).unwrap().as_fd()).unwrap().nlink, 0);
}

#[test]
fn an_object_made_without_a_name_keeps_its_descriptor_until_it_gets_one() {
    let (nodes, world) = (Nodes::new(64), world());
    write(&world, "a");
    let anchor = backing::anchor(world.view.home().as_fd(), OsStr::new("a")).unwrap();
    let stat = backing::stat(anchor.as_fd()).unwrap();
    let node = nodes.found(&world.view, anchor, &stat, Where::Nowhere).unwrap();
    node.close();
    assert!(node.fd.lock().is_some());
    nodes.got_name(node.id);
    node.close();
    assert!(node.fd.lock().is_none());
}

#[test]
fn a_node_is_small() {
    // A million have to fit into 150 MB, with what the allocator and the table add: 8 and at most 40 bytes.
    assert!(size_of::<Node>() + 16 <= 96, "{}", size_of::<Node>());
}

#[test]
fn many_nodes_hold_few_descriptors() {
    let (nodes, world) = (Nodes::new(32), world());
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    for n in 0..500 {
        write(&world, &n.to_string());
    }
    let before = open();
    let all: Vec<_> = (0..500).map(|n| look_up(&nodes, &world, &n.to_string())).collect();
    assert!(open() < before + 100, "{} descriptors for 500 nodes", open() - before);
    for (n, node) in all.iter().enumerate() {
        let fd = backing::reopen(nodes.anchor(node).unwrap().as_fd(), nix::fcntl::OFlag::O_RDONLY).unwrap();
        assert_eq!(std::io::read_to_string(fs::File::from(fd)).unwrap(), n.to_string());
    }
    assert!(open() < before + 100);
}
