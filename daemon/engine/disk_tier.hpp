// What the engine needs of the tier that keeps values on disk. daemon/tiers/ implements it over daemon/disk/.
//
// The engine decides what is written, loaded and dropped; the tier knows files, checksums and its own budget. A value there is a copy of one
// that was published, or is not there at all: it goes by itself when its time is over, when it is damaged, and when room is short.
//
// A tier may keep sessions, too (keeps_sessions()); only such a one is given values of sessions. Then it keeps what it was told of each until
// its end, and after that nothing of it that anybody could read.
//
// Threads:   the strand; no call waits for the disk. What takes time ends in an event, DiskWritten or DiskLoaded: exactly one for each ticket
//            that was given away, at any later time, in any order.
// Order:     operations count in the order of the calls: a load sees the puts and drops of its key, and of its value's upstreams, that were called
//            before it. What drops by label holds for loads that are called after its DiskWritten. What was told of a session and the values that
//            were put in it survive a crash in that order: where something is missing, all that came behind it in this session is, too.
// Upstreams: a value that was computed from others is there for as long as each of these is, as it was then. A load looks for them: where one was
//            replaced, dropped, has expired or went for want of room, there is no value.
// Errors:    a disk that fails is an outcome, never an exception.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/messages.hpp>
#include <onced/protocol/session.hpp>

#include "engine/blob_store.hpp"
#include "engine/types.hpp"

namespace onced::engine {

// Names an operation that is under way; rises. 0: none.
enum class DiskTicket : std::uint64_t {};

// A value's clocks, from the moment at which they are told.
struct DiskLife {
  std::uint64_t fresh_ms = protocol::as_configured;  // as_configured: for ever; 0: it is stale
  std::uint32_t early_ms = 0;                        // the last so many of these
  std::uint32_t grace_ms = 0;                        // usable for so long after them
};

// A value as a tier knows it: by whom it was numbered, and how. That epoch 0: it is not said.
struct DiskIdentity {
  std::uint64_t epoch = 0;
  std::uint64_t version = 0;
  bool is_said() const { return epoch != 0; }
  friend bool operator==(const DiskIdentity&, const DiskIdentity&) = default;
};

// What a value was computed from, directly or through others; with its tags, so that who has the one knows what means the other.
struct DiskUpstream {
  std::string key;
  DiskIdentity identity;
  std::vector<std::string> tags{};
  friend bool operator==(const DiskUpstream&, const DiskUpstream&) = default;
};

// A value as it is written, but for its parts.
struct DiskImage {
  std::string_view key;
  std::uint64_t epoch = 0;           // of the daemon that numbered the version
  std::uint64_t version = 0;
  std::uint64_t fresh_until_ms = 0;  // by the time word of that daemon
  DiskLife life{};
  std::uint64_t cost_us = 0;
  bool was_put = false;
  std::string_view origin;           // who computed or put it, for people
  const std::vector<std::string>* tags = nullptr;
  std::string_view family;           // label of all versions of its function (DiskTier::drop_label)
  float merit = 0;                   // log2 of what it saves per byte
  const std::vector<DiskUpstream>* upstreams = nullptr;  // null: none
};

// Large parts that a load has brought, in memory or files of the tier's own: there are no blobs of them yet.
class BroughtParts {
 public:
  virtual ~BroughtParts() = default;
  // Places in the blob store that they need.
  virtual std::size_t blobs() const = 0;
  // Makes these blobs, once, and has the value's parts name them; or, with an error, none. What is being closed takes no place from them.
  virtual Result<void> place(std::vector<protocol::Part>& parts) = 0;
};

// A value that was loaded. Each blob that the parts name is sealed and has one hold, which is the engine's now. Of those that it has yet to
// make room for, `brought` makes them.
struct DiskValue {
  std::uint64_t epoch = 0;
  std::uint64_t version = 0;
  std::uint64_t fresh_until_ms = 0;  // good in the same epoch
  DiskLife life{};                   // what is left of it
  std::uint64_t age_ms = 0;
  std::uint64_t cost_us = 0;
  bool was_put = false;
  std::string origin;
  std::vector<std::string> tags;
  std::vector<protocol::Part> parts;
  std::vector<DiskUpstream> upstreams{};  // which are on disk as they were
  std::shared_ptr<BroughtParts> brought{};  // null: every blob is there
};

// Done: written, and on stable storage if that was asked for; what drops always is. Refused: of a put, not stored (it is too large, or too much
// waits), and what its key had is gone. Failed: the disk fails; whatever was asked for holds until the daemon ends.
enum class DiskOutcome : std::uint8_t { done, refused, failed };

struct DiskWritten {
  DiskTicket ticket{};
  DiskOutcome outcome = DiskOutcome::done;
};
struct DiskLoaded {
  DiskTicket ticket{};
  std::optional<DiskValue> value{};  // nothing: it has none, or it cannot be read (`problem`)
  std::string problem{};
};

// A session as it is kept. Never its id.
struct DiskSession {
  std::uint64_t number = 0;
  std::uint64_t generation = 0;
  std::string digest{};            // SHA-256 of the id
  std::uint64_t age_ms = 0;
  std::uint64_t idle_for_ms = 0;   // at least: since its last use that was told
  std::uint64_t idle_ttl_ms = 0;   // 0: never by idling
  std::uint64_t left_ms = protocol::as_configured;  // until it ends at the latest; as_configured: it does not
};
// The first event of all, where a tier keeps sessions: those that were there before this engine was.
struct SessionsFound {
  std::vector<DiskSession> sessions{};
  std::uint64_t numbers_from = 0;  // the numbers of all that were ever written are below
};

class DiskTier {
 public:
  virtual ~DiskTier() = default;

  // The event comes only with a ticket that is not 0. The blobs of the parts are held by the tier as long as it needs them.
  virtual void put(DiskTicket ticket, const DiskImage& image, std::shared_ptr<const std::vector<protocol::Part>> parts, bool durable) = 0;
  // The key has no value any more.
  virtual void drop(DiskTicket ticket, std::string_view key) = 0;
  // No value has one that was put before this and carries the label: the name of its function or of a tag, its family; or all.
  enum class Label : std::uint8_t { everything, function, tag, family };
  virtual void drop_label(DiskTicket ticket, Label kind, std::string_view name) = 0;

  // Whether a load is worth trying, or a drop.
  virtual bool may_have(std::string_view key) const = 0;
  // False: too many are under way, and no event comes.
  virtual bool load(DiskTicket ticket, std::string_view key) = 0;
  // Of a value that may be there; its last one counts when room is short.
  virtual void set_merit(std::string_view key, float merit) = 0;

  // Sessions: those of a tier that keeps none are never called. Order as above; the events say when it is stable.
  virtual bool keeps_sessions() const { return false; }
  // Whether values of this key may be there at all.
  bool takes(std::string_view key) const { return !protocol::names_session(key) || keeps_sessions(); }
  // It is new, or has another generation and id from now on.
  virtual void keep_session(DiskTicket, const DiskSession&) {}
  // It was used now; told now and then only.
  virtual void use_session(std::uint64_t /*number*/) {}
  virtual void end_session(DiskTicket, std::uint64_t /*number*/) {}
  // Like drop_label(): no value of the session that was put before this.
  virtual void drop_in_session(DiskTicket, std::uint64_t /*number*/) {}

  struct Usage {
    std::uint64_t sessions = 0;
    std::uint64_t values = 0;
    std::uint64_t used_bytes = 0;    // of the directory
    std::uint64_t budget_bytes = 0;
    std::uint64_t queued_bytes = 0;  // still to be written
    std::uint64_t evicted = 0;
    std::uint64_t damaged = 0;       // values that were found so
    std::uint64_t older_bytes = 0;   // of stores of older formats, which go when their room is needed
    std::uint64_t left_out = 0;      // values that were put, and for which there was no room, or the disk failed
    bool degraded = false;           // nothing can be written
  };
  virtual Usage usage() const = 0;
  // Of the requests Disk: begins or ends work and tells how it is. Not for clear, which is the engine's.
  virtual protocol::DiskReport report(protocol::DiskAction action) = 0;
};

}  // namespace onced::engine
