// The daemon's loop: clients in, engine steps, replies out, on one thread.
//
// A turn is: one wake-up, what it brought is read, every whole frame in it becomes a step of its namespace's engine, the
// effects are queued at their connections, and at the end of the turn each of these is sent with one system call. Only then
// is the next wait begun: a system call that no answer needs. Users take turns (turn_queue.hpp): who has a thousand connections keeps
// another user's one waiting as long as who has one.
//
// Ownership: connections and namespaces. Borrows the io_context, which it is the only user of besides the service's
//            signals; closers are its own.
// Threads:   everything on the thread that runs the io_context.
// Invariant: a connection is in `connections_` until its client end is closed in every process; its pins count so long.
// Limits:    a connection whose queue is above send_queue_bytes_max is not read from; one whose queue grows above
//            send_queue_hard_factor times that, all the same, is ended: what it is owed is lost to it alone.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/messages.hpp>
#include <onced/protocol/result.hpp>

#include "engine/access.hpp"
#include "engine/admission.hpp"
#include "engine/engine.hpp"
#include "net/alarm.hpp"
#include "net/closer.hpp"
#include "net/connection.hpp"
#include "net/listener.hpp"
#include "net/log_budget.hpp"
#include "net/log_function.hpp"
#include "net/namespace_host.hpp"
#include "net/turn_queue.hpp"

namespace onced::net {

// What one namespace may use, and who may use it.
struct NamespaceSettings {
  std::uint64_t memory_bytes = 0;  // its segment; one that is there keeps the size it began with
  std::uint64_t blob_bytes_max = 0;
  engine::AccessRule access{};
  std::optional<engine::RetentionSettings> retention{};  // nothing: as for all namespaces
  decltype(engine::Settings::max_concurrent) max_concurrent{};
  decltype(engine::Settings::function_bytes_max) function_bytes_max{};
  // Where its values are on disk, and how many bytes they may take; empty: they are kept in memory only. Of a namespace that is there
  // already, or comes with a reload, this changes with the daemon's next start.
  std::string disk_directory{};
  std::uint64_t disk_bytes_max = 0;
  bool disk_map_files = false;  // its clients map files of large parts
  std::optional<engine::SessionSettings> sessions{};  // nothing: as for all namespaces
};

// Where it is known from who is at the other end; for tests: from elsewhere.
struct PeerSource {
  std::function<Result<Peer>(int socket)> identify = net::identify;
  std::function<std::vector<gid_t>(int socket)> further_groups = net::further_groups;
};

struct HostSettings {
  engine::Settings engine;  // of every namespace, but for its own
  std::map<std::string, NamespaceSettings, std::less<>> namespaces;
  std::size_t blobs_per_namespace_max = 1024;  // what open descriptors allow
  engine::Admission::Settings admission;
  std::size_t send_queue_bytes_max = limits::send_queue_bytes_max;
  Closer::Options foreign_closer{};  // for tests
  Closer::Options memory_closer{};   // for tests: how it closes
  tiers::DiskOptions disk{};         // for tests: whose files, and how the tier waits; where and how large a namespace says
  PeerSource peers{};
  engine::Duration hello_deadline = limits::hello_deadline;
  engine::Duration drain_deadline = limits::drain_deadline;
};

// How long the end of the daemon waits for what is still to be written to disk.
inline constexpr std::chrono::milliseconds disk_patience{10'000};

// Open descriptors that so many connections need at most: socket, process and pin page of each, a blob that has been dropped
// and is still to be sent; the segments; what may wait to be closed, and some of our own.
inline std::uint64_t descriptors_wanted(std::uint64_t connections, std::uint64_t namespaces, std::uint64_t disk_files = 0) {
  return 4 * connections + namespaces + disk_files + limits::foreign_descriptors_waiting_max + 64;
}

class Host final : private Outbox {
 public:
  Host(boost::asio::io_context& context, HostSettings settings, LogFunction log);
  ~Host() override;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // All that the settings name. Errors: memory that the kernel does not give, directories that cannot be used. Waits for the disk.
  Result<void> open_namespaces();
  // Clients get in from here on. `listening_socket` is the caller's, and stays open at least until drain().
  Result<void> serve(int listening_socket);

  // Everything may change but the engine's identity and the sizes of segments; what is already under way keeps its old
  // deadline. Fails, and changes nothing, when the kernel does not give a new namespace its memory.
  //
  // A namespace that is not named any more is gone: its waiters get their final answer, its connections are ended, its memory
  // goes back. One whose rule is narrower than before begins anew in the same way, with an empty segment: who mapped
  // the old one goes on reading it as long as he likes, and must not read what comes.
  Result<void> reconfigure(HostSettings settings);

  // No new clients; every waiter gets its final answer; finished() is called when all of it has left or after
  // drain_deadline. Then end() and destroy.
  void drain(std::function<void()> finished);
  // Readers see that the daemon is gone, connections are closed, and what is still to be written to disk is, for disk_patience at most.
  void end();

  std::size_t connections() const { return connections_.size(); }
  // Of the namespaces that keep values on disk.
  struct DiskUse {
    std::string name;
    std::string directory;
    engine::DiskTier::Usage usage{};
  };
  std::vector<DiskUse> disks() const;

 private:
  using Id = engine::ConnectionId;

  // Outbox: effects of the step that is under way.
  void send(Id connection, protocol::RequestId id, const protocol::Reply& reply, Descriptors with) override;
  void close(Id connection, const std::string& text) override;
  void note(LogLevel level, const std::string& text, std::optional<Id> whose, const std::string& name_space) override;

  // host_connections.cpp: a connection's life.
  void accepted(memory::FileDescriptor socket);
  void on_readable(Id id);
  // Reads it, and what it has taken counts for its user.
  void serve(Connection& connection);
  // Those that wait for their users' turns, in a round of its own.
  void want_round();
  void serve_round();
  void on_writable(Id id);
  void on_hung_up(Id id);
  void on_process_died(Id id);
  void read(Connection& connection);
  // False: its share of this turn is used up, and more may be there.
  bool read_some(Connection& connection);
  bool read_share(Connection& connection);
  // Nobody takes its answers: reads what was sent before that, then cuts.
  void let_leave(Connection& connection);
  // False: its share of this turn is used up, and frames may be left.
  bool handle_frames(Connection& connection);
  void handle_hello(Connection& connection, const protocol::Frame& frame);
  void handle_request(Connection& connection, const protocol::Frame& frame);
  void watch_process(Connection& connection);
  // Tells the client why, lets what is queued leave, then shuts down our direction.
  void end_connection(Connection& connection, const Error& why);
  // Shuts down our direction now; what is queued is dropped, the engine is told.
  void cut(Connection& connection);
  // It is owed more than we keep for it.
  void drop_overflowing(Connection& connection);
  // Its leases, waits and subscriptions end; its pins stay.
  void leave_engine(Connection& connection);
  void forget(Connection& connection);
  // Sends what the socket takes; reads on, in a turn of its own, unless it is throttled or being read already.
  void flush(Connection& connection);
  void send_now(Connection& connection);
  void resume(Connection& connection);
  // From the end of this turn on: answers go first.
  void wait_readable(Connection& connection);
  void begin_waits();
  // Its user has sent descriptors that are still being closed: it is read from when that is done.
  void hold_back(Connection& connection);
  void read_held_back();
  void wait_writable(Connection& connection);
  void wait_hung_up(Connection& connection);

  Connection* find(Id id);
  bool throttled(const Connection& connection) const;
  void want_flush(Connection& connection);
  void set_deadline(Connection& connection, engine::Time when);
  void clear_deadline(Connection& connection);

  // host_namespaces.cpp: which there are, and who may use them.
  engine::Settings engine_settings(const HostSettings& from, const std::string& name) const;
  Result<std::unique_ptr<NamespaceHost>> make_namespace(const HostSettings& from, const std::string& name, std::uint64_t epoch);
  // The namespace of this name, if this peer may use it; null: for this peer there is none.
  NamespaceHost* home_of(Connection& connection, const std::string& name);
  // Ends it and all that is connected to it; they are told `why`.
  void retire(std::unique_ptr<NamespaceHost> host, const std::string& why);
  Result<void> open_disk(const std::string& name, const NamespaceSettings& own);
  // What the disk tiers have done becomes steps of their engines.
  void on_disk_events();
  std::function<void()> ring_for_disks();
  std::function<void(LogLevel, std::string)> log_from_any_thread();
  void clear_disk(const std::string& name, tiers::NamespaceDisk& disk);
  void note_audience(const std::string& name, tiers::NamespaceDisk& disk, const engine::AccessRule& rule);

  // host.cpp: the turn. Whatever the io_context calls begins one and finishes it; how long it took goes to the statistics.
  void begin_turn() { turn_began_ = alarm_.now(); }
  void finish_turn();
  void measure_turn();
  void note_turn(engine::Time began);  // it has ended at turn_ended_
  void ring();
  void report_departures(Connection& connection);
  void check_drained();
  // A line that a client has caused: this user, or whoever it was.
  void log_client(LogLevel level, std::uint32_t uid, const std::string& text) { log_client(level, "uid " + std::to_string(uid), text); }
  void log_client(LogLevel level, const std::string& who, const std::string& text);

  boost::asio::io_context& context_;
  HostSettings settings_;
  LogFunction log_;
  LogBudget log_budget_;
  Closer foreign_closer_;
  Closer closer_;
  Closer memory_closer_;  // outlives all that holds blobs
  Alarm alarm_;
  Listener listener_;
  const std::uint32_t own_uid_;
  // By namespace, from the start to the end: one that is not there any more keeps its own for when it comes back.
  std::map<std::string, std::unique_ptr<tiers::NamespaceDisk>, std::less<>> disks_;
  std::shared_ptr<Host*> self_ = std::make_shared<Host*>(this);  // for threads that outlive it
  std::map<std::string, std::unique_ptr<NamespaceHost>, std::less<>> namespaces_;
  engine::Admission admission_;
  std::unordered_map<Id, std::unique_ptr<Connection>> connections_;
  ConnectionDeadlines deadlines_;
  engine::Time turn_began_{};
  engine::Time turn_ended_{};  // the last one
  std::uint64_t last_id_ = 0;
  TurnQueue turns_{limits::user_share};
  bool round_wanted_ = false;
  std::vector<Id> to_flush_;  // in order of their first effect in this turn
  std::vector<Id> to_end_;    // whose queue has grown above the hard limit in this turn
  std::vector<Id> to_forget_;
  std::vector<Id> to_wait_;    // for readability, once this turn's answers have left
  std::vector<Id> held_back_;
  std::optional<engine::Time> read_held_back_at_;
  SendQueue::Departures departures_;  // kept for its memory
  std::function<void()> drained_;     // set while draining
  engine::Time drain_until_{};
};

}  // namespace onced::net
