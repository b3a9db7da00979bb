// One namespace at work: its engine, its segment, its life word, and the pin pages of its connections.
//
// It feeds events to the engine and hands the effects to an Outbox, step by step; it reads no clock and no socket.
//
// Ownership: the segment and the engine. Pin pages belong to their connections, which leave() before they go.
// Threads:   the loop.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <onced/protocol/messages.hpp>
#include <onced/protocol/result.hpp>

#include "engine/engine.hpp"
#include "memory/life_keeper.hpp"
#include "memory/sealed_memory.hpp"
#include "memory/segment_store.hpp"
#include "net/connection.hpp"
#include "net/log_function.hpp"
#include "net/send_queue.hpp"
#include "tiers/namespace_disk.hpp"

namespace onced::net {

// Where effects go. No call may come back into the namespace before it returns.
class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual void send(engine::ConnectionId connection, protocol::RequestId id, const protocol::Reply& reply,
                    Descriptors with) = 0;
  virtual void close(engine::ConnectionId connection, const std::string& text) = 0;
  // Whose event it came of; nobody: the namespace's own, as when time has passed.
  virtual void note(LogLevel level, const std::string& text, std::optional<engine::ConnectionId> whose, const std::string& name_space) = 0;
};

class NamespaceHost {
 public:
  // `settings` are this namespace's own; their epoch is one that no other namespace of this name ever had (tokens and
  // positions name it). What `blobs` gives for closing outlives this object, and every Outbox call.
  // Fails when the kernel does not give the memory.
  // `disk`, which may be null, outlives it; take_disk() comes before the first event of any other kind.
  static Result<std::unique_ptr<NamespaceHost>> create(std::string name, std::uint64_t memory_bytes, memory::BlobOptions blobs,
                                                       const engine::Settings& settings, tiers::NamespaceDisk* disk, Outbox& outbox);
  ~NamespaceHost();
  NamespaceHost(const NamespaceHost&) = delete;
  NamespaceHost& operator=(const NamespaceHost&) = delete;

  const std::string& name() const { return name_; }
  std::uint64_t epoch() const { return epoch_; }

  // The connection's pins count from here until leave(). Its descriptor and segment_descriptor() go to the client.
  Result<memory::SealedMemory> enter(engine::ConnectionId connection);
  void leave(engine::ConnectionId connection) { store_->remove_page(connection); }
  int segment_descriptor() const { return segment_.descriptor(); }
  std::uint64_t segment_bytes() const { return segment_.bytes().size(); }

  // From here on its disk serves this one, which nobody has used before, and no other.
  void take_disk(engine::Time now);

  // One step of the engine, and its effects.
  void apply(engine::Event event, engine::Time now);
  std::optional<engine::Time> next_deadline() const { return engine_.next_deadline(); }
  void reconfigure(const engine::Settings& settings, std::size_t blobs_max) {
    engine_.reconfigure(settings);
    store_->blobs().set_count_max(blobs_max);
  }

  // What connections of this namespace take of the loop's turns: the most that one has taken of one, and how often one had used
  // up its share and went on later.
  void count_turn(const TurnWork& work, bool used_up) {
    turns_.requests_most = std::max(turns_.requests_most, work.requests);
    turns_.receives_most = std::max(turns_.receives_most, work.receives);
    if (used_up) ++turns_.used_up;
  }
  struct Turns {
    std::uint32_t requests_most = 0;
    std::uint32_t receives_most = 0;
    std::uint64_t used_up = 0;
  };
  const Turns& turns() const { return turns_; }

  void turn_took(engine::Duration took, engine::Time ended) { engine_.turn_took(took, ended); }

  // Readers see that the daemon is gone when this returns.
  void end_life() { life_.stop(); }
  // All but its segment, which is to be unmapped where that may take long.
  static memory::SealedMemory end(std::unique_ptr<NamespaceHost> host);

 private:
  NamespaceHost(std::string name, memory::SealedMemory segment, std::unique_ptr<memory::SegmentStore> store,
                memory::LifeKeeper life, const engine::Settings& settings, tiers::NamespaceDisk* disk, Outbox& outbox);

  void carry_out(const engine::Send& send);

  std::string name_;
  std::uint64_t epoch_;
  memory::SealedMemory segment_;
  std::unique_ptr<memory::SegmentStore> store_;
  memory::LifeKeeper life_;  // stops before the segment is unmapped
  tiers::NamespaceDisk* disk_;  // null: values are kept in memory only
  bool has_taken_disk_ = false;
  engine::Engine engine_;
  Outbox& outbox_;
  Turns turns_;
  engine::Effects effects_;  // of the present step; kept for its memory
};

}  // namespace onced::net
