// What can be wrong between a client and its daemon, one check at a time.
//
// Each check looks at one thing and says what it found and, when that is not well, how to mend it. None changes anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "doctor_daemons.hpp"
#include "doctor_handshake.hpp"

namespace onced::cli {

struct Finding {
  enum class Level : std::uint8_t { ok, warn, fail };
  Level level = Level::ok;
  std::string subject;  // "socket"
  std::string text;     // what is
  std::string remedy;   // how to mend it; empty when well
};
using Findings = std::vector<Finding>;

std::string_view name_of(Finding::Level level);

// The socket's file and directory. `source`: who says that it is this one ("ONCED_SOCKET").
Findings check_socket(const std::string& path, const std::string& source);
// Daemons that serve somewhere else, as a way on when nobody serves `path`.
Findings check_other_daemons(const std::string& path, const std::vector<ServingDaemon>& daemons);
// Who answers, by the kernel's word and its own.
Findings check_peer(const Handshake& handshake);
// That nobody but the daemon can write or shrink what a client maps. `owned_by_daemon`: must be sealed against writing.
Finding check_seals(const std::string& subject, int descriptor, bool owned_by_daemon, std::uint64_t bytes);
// What the kernel offers.
Findings check_kernel();
// Descriptors, of this process and of the daemon's (when they can be read).
Findings check_limits(std::uint32_t daemon_pid);
// Large parts: how many there may be (each keeps a descriptor of the daemon) and their memory, by the daemon's status.
Findings check_blobs(const protocol::Report& status);
// The memory in use, as the status says it; what it comes to when it is full, against the daemon's memory cgroup (when that
// can be read).
Findings check_memory(std::uint32_t daemon_pid, std::uint64_t segment_bytes, const protocol::Report& status);
// Values on disk, by the daemon's status; nothing where they are kept in memory only.
Findings check_disk(const protocol::Report& status);
// Who computes for long.
Findings check_holders(const std::vector<protocol::ListRow>& rows);
// How long the daemon's loop kept everybody waiting at most.
Finding check_turns(const protocol::Report& statistics);
// Memory that readers keep from being reused.
Finding check_pinned(const protocol::Report& statistics);
// Limits that have refused something, or are nearly met: of each the statistics have NAME_most, NAME_max and NAME_refused.
Findings check_limit_use(const protocol::Report& statistics);

// The smallest memory.max from a cgroup (v2) up to the root; nothing: no limit, or it cannot be read.
std::optional<std::uint64_t> cgroup_memory_limit(const std::string& root, const std::string& cgroup);

}  // namespace onced::cli
