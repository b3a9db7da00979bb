// Everything around the engine in one schedule: the host with its sockets and pages, time, and the client processes.
//
// Time is a queue of things to do, in order of time and then of arrival; nothing else decides what happens when.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include <onced/protocol/pin_page.hpp>
#include <onced/protocol/segment_reader.hpp>

#include "engine/engine.hpp"
#include "model.hpp"
#include "process.hpp"
#include "schedule.hpp"
#include "simulated_disk.hpp"
#include "watched_store.hpp"

namespace onced::simulation {

// Memory that all schedules of a run use in turn: making it anew would be most of the work.
class Memory {
 public:
  Memory();
  std::span<std::byte> segment();              // zeroed
  protocol::PinPage& fresh_page(std::size_t number);  // formatted and empty
  protocol::PinPage& page(std::size_t number) { return *reinterpret_cast<protocol::PinPage*>(pages_[number].get()); }
  static constexpr std::size_t segment_bytes = 256 * 1024;

 private:
  struct Free {
    void operator()(void* memory) const;
  };
  std::unique_ptr<std::byte, Free> segment_;
  std::vector<std::unique_ptr<std::byte, Free>> pages_;
};

class World {
 public:
  World(Schedule& schedule, Memory& memory);
  // Runs the schedule to its end; throws Violation.
  void run();
  std::uint64_t events() const { return steps_; }
  // What the engines counted: shows whether the schedules reach what they are meant to.
  std::map<std::string, std::uint64_t> counts() const;

  // For processes ----------------------------------------------------------------------------------------------------
  Schedule& schedule() { return schedule_; }
  Random& random() { return schedule_.random; }
  const Model& model() const { return *model_; }
  void after(Duration delay, std::function<void()> action);
  // Puts a request on the connection's socket.
  void send(ConnectionId connection, RequestId id, const protocol::Request& request);
  // The process stops reading for a while.
  void stop_reading(ConnectionId connection, Duration duration);
  // The operator sets another limit for a function (SIGHUP).
  void relimit();
  void relimit_bytes();
  // The daemon is killed and started anew, over the disk that is left; all who were connected are gone.
  void restart();
  // The process dies; a child that it forked may hold its socket for longer.
  // All its connections go with it.
  void kill(ConnectionId connection);
  // Reads the segment as a client does: the version that is found.
  std::optional<std::uint64_t> look_up(ConnectionId connection, const std::string& key, const std::optional<protocol::SessionGrant>& grant = {});
  // All that were ever told, in the order of their making.
  std::vector<std::string>& session_ids() { return session_ids_; }
  std::vector<protocol::Token>& tokens() { return tokens_; }
  // The text of a pinned record, whose blobs must be there.
  std::string text_at(std::uint64_t record, const std::string& key);
  // All that were ever lent.
  std::vector<std::uint64_t>& blobs_seen() { return blobs_seen_; }
  // As the client that reserved it does before it publishes.
  void seal(std::uint64_t blob);
  void release_pin(ConnectionId connection, std::uint32_t pin);
  bool may_act() const { return actions_left_ > 0; }
  void acted() { --actions_left_; }

 private:
  struct Action {
    Time at;
    std::uint64_t number;
    std::function<void()> run;
    bool operator<(const Action& other) const { return at != other.at ? at > other.at : number > other.number; }
  };
  struct Outgoing {
    std::string frame;
    bool of_subscription = false;
    RequestId id = 0;
  };
  struct Connection {
    Process* process = nullptr;  // null once it is dead
    std::uint32_t pid = 0;       // several connections may have the same; 0: the daemon does not see it
    bool socket_open = true;     // the engine has not been told Disconnected
    std::deque<Outgoing> to_client;
    bool link_busy = false;
    Time stopped_until{};
    Time last_arrival{};  // at the daemon: a socket keeps the order
    std::optional<std::size_t> page;
  };

  void begin_daemon();
  void step(engine::Event event);
  void carry_out(const engine::Effects& effects);
  void sent_to_monitor(std::uint32_t count);
  void plan_tick();
  void leave(ConnectionId id);
  void start_process();
  void end_with_process(ConnectionId id);
  void disconnect(ConnectionId id);
  void check_readers();
  void check_sessions();
  void quiesce();
  static std::string describe(const engine::Event& event);
  static std::string describe(const engine::Effect& effect);

  Schedule& schedule_;
  Memory& memory_;
  BlobContents blob_contents_;
  std::unique_ptr<SimulatedDisk> disk_;  // null: none
  ToldSessions told_sessions_;
  // Of the present daemon, made and destroyed together.
  std::optional<WatchedStore> store_;
  std::optional<engine::Engine> engine_;
  std::optional<Model> model_;
  std::optional<protocol::SegmentReader> reader_;
  protocol::PinPage& observer_page_;  // of the checks themselves
  std::priority_queue<Action> actions_;
  std::uint64_t last_action_ = 0;
  std::uint64_t last_connection_ = 0;
  std::size_t pages_used_ = 1;
  std::map<ConnectionId, Connection> connections_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::optional<Time> planned_tick_;
  std::size_t actions_left_ = 0;
  std::map<std::string, std::uint64_t> counts_before_;  // of daemons that were killed
  std::uint64_t restarts_ = 0;
  std::uint64_t sessions_found_ = 0;
  std::vector<std::string> session_ids_;
  std::vector<protocol::Token> tokens_;
  std::vector<std::uint64_t> blobs_seen_;
  std::uint64_t last_secret_ = 0;
  std::uint64_t steps_ = 0;
  std::optional<Time> last_step_;
};

}  // namespace onced::simulation
