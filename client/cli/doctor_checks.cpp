#include "doctor_checks.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <onced/protocol/limits.hpp>

#include "disk_view.hpp"
#include "doctor_permission.hpp"
#include "reports.hpp"
#include "text_format.hpp"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace onced::cli {
namespace {

using Level = Finding::Level;

constexpr double long_holder_seconds = 60;

std::string first_line(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string process_name(std::uint32_t pid) {
  const std::string name = first_line("/proc/" + std::to_string(pid) + "/comm");
  return name.empty() ? "?" : escape(name);
}

// A directory that others may write to, without the sticky bit, lets them put their own socket in the daemon's place.
Finding check_directory(const std::string& directory) {
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0) {
    return {Level::warn, "directory", directory + ": " + std::strerror(errno), "the daemon makes it when it starts"};
  }
  const std::string text = directory + ", mode " + octal_mode(status.st_mode) + ", uid " + std::to_string(status.st_uid);
  if ((status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0) {
    return {Level::warn, "directory", text + ": anybody may replace the socket", "chmod o-w " + directory};
  }
  return {Level::ok, "directory", text, ""};
}

Finding feature(const char* name, bool there, const char* without, const char* since) {
  if (there) return {Level::ok, "kernel", std::string(name) + " is there", ""};
  return {Level::warn, "kernel", std::string(name) + " is missing: " + without,
          std::string("Linux ") + since + " has it; in a container its seccomp profile may be in the way"};
}

bool seals_offered(unsigned seals) {
  const int memory = ::memfd_create("oncectl-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memory < 0) return false;
  const bool sealed = ::fcntl(memory, F_ADD_SEALS, seals) == 0;
  ::close(memory);
  return sealed;
}

bool pidfd_offered() {
  const long pidfd = ::syscall(SYS_pidfd_open, ::getpid(), 0);
  if (pidfd >= 0) ::close(static_cast<int>(pidfd));
  return pidfd >= 0;
}

bool peer_pidfd_offered() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  int pidfd = -1;
  socklen_t size = sizeof(pidfd);
  const bool there = ::getsockopt(ends[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0;
  if (pidfd >= 0) ::close(pidfd);
  ::close(ends[0]);
  ::close(ends[1]);
  return there;
}

bool peer_groups_offered() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  gid_t group = 0;
  socklen_t size = sizeof(group);
  // ERANGE: there are more than fit, so they would be told.
  const bool there = ::getsockopt(ends[0], SOL_SOCKET, SO_PEERGROUPS, &group, &size) == 0 || errno == ERANGE;
  ::close(ends[0]);
  ::close(ends[1]);
  return there;
}

bool membarrier_offered() {
  const long commands = ::syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  return commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0;
}

struct OpenFilesLimit {
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
};

// "Max open files            1024                 524288               files"
std::optional<OpenFilesLimit> open_files_limit(std::uint32_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/limits");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("Max open files")) continue;
    std::istringstream words(line.substr(14));
    OpenFilesLimit limit;
    if (words >> limit.soft >> limit.hard) return limit;
  }
  return std::nullopt;
}

constexpr const char* more_descriptors = "LimitNOFILE=65536 in its unit, or ulimit -Hn before it starts";

}  // namespace

std::string_view name_of(Finding::Level level) {
  switch (level) {
    case Level::ok: return "ok";
    case Level::warn: return "warn";
    case Level::fail: return "fail";
  }
  return "?";
}

Findings check_socket(const std::string& path, const std::string& source) {
  Findings findings;
  if (const std::optional<PermissionProblem> problem = permission_problem(path)) {
    findings.push_back({Level::fail, "socket", problem->text + " (" + source + ": " + path + ")", problem->remedy});
    return findings;
  }
  findings.push_back(check_directory(std::filesystem::path(path).parent_path().string()));
  const std::string named = path + " (" + source + ")";
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    findings.push_back({Level::fail, "socket", named + ": " + std::strerror(errno),
                        "start one: `onced --socket " + path + "`; or name the right one with --socket or ONCED_SOCKET"});
  } else if (!S_ISSOCK(status.st_mode)) {
    findings.push_back({Level::fail, "socket", named + " is there but is no socket", "move it away and start the daemon again"});
  } else {
    const std::string text = named + ", mode " + octal_mode(status.st_mode) + ", uid " + std::to_string(status.st_uid) + ", gid " +
                             std::to_string(status.st_gid);
    findings.push_back({Level::ok, "socket", text, ""});
  }
  return findings;
}

Findings check_other_daemons(const std::string& path, const std::vector<ServingDaemon>& daemons) {
  Findings findings;
  for (const ServingDaemon& daemon : daemons) {
    if (daemon.socket == path) continue;
    findings.push_back({Level::warn, "elsewhere", "a daemon, pid " + std::to_string(daemon.pid) + ", serves " + daemon.socket,
                        "if that one is meant: export ONCED_SOCKET=" + daemon.socket});
  }
  return findings;
}

Findings check_peer(const Handshake& handshake) {
  Findings findings;
  const protocol::Welcome& welcome = handshake.welcome();
  const auto pid = static_cast<std::uint32_t>(handshake.peer().pid);
  const std::string who = process_name(pid) + " " + escape(welcome.daemon_version) + ", pid " + std::to_string(pid) + ", uid " +
                          std::to_string(handshake.peer().uid) + ", protocol " + std::to_string(welcome.protocol_version);
  const uid_t uid = handshake.peer().uid;
  if (uid != 0 && uid != ::geteuid() && ::geteuid() != 0) {
    // Not wrong (a service has a user of its own), but whoever it is can show this client anything.
    findings.push_back({Level::ok, "daemon", who + " (another user: its values are as good as its owner)", ""});
  } else {
    findings.push_back({Level::ok, "daemon", who, ""});
  }
  return findings;
}

Finding check_seals(const std::string& subject, int descriptor, bool owned_by_daemon, std::uint64_t bytes) {
  if (descriptor < 0) {
    return {Level::fail, subject, "the daemon sent none", "its log says why; it may be out of descriptors"};
  }
  const unsigned needed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (owned_by_daemon ? F_SEAL_FUTURE_WRITE : 0U);
  const int seals = ::fcntl(descriptor, F_GET_SEALS);
  struct stat status {};
  if (seals < 0 || ::fstat(descriptor, &status) != 0) {
    return {Level::fail, subject, "cannot be looked at: " + std::string(std::strerror(errno)), "whoever serves is no onced"};
  }
  const std::string size = human_bytes(static_cast<std::uint64_t>(status.st_size));
  if ((static_cast<unsigned>(seals) & needed) != needed) {
    return {Level::fail, subject, size + ", but not sealed as it must be: others could change what is read",
            "do not use this daemon; install the current version"};
  }
  if (static_cast<std::uint64_t>(status.st_size) != bytes) {
    return {Level::fail, subject, size + " where " + std::to_string(bytes) + " bytes were announced", "restart the daemon"};
  }
  return {Level::ok, subject, size + (owned_by_daemon ? ", sealed: nobody but the daemon writes it" : ", sealed in size"), ""};
}

Findings check_kernel() {
  utsname name{};
  ::uname(&name);
  Findings findings{{Level::ok, "kernel", std::string(name.sysname) + " " + name.release, ""}};
  if (!seals_offered(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)) {
    findings.push_back({Level::fail, "kernel", "no memfd with F_SEAL_FUTURE_WRITE: values cannot be shared safely",
                        "Linux 5.1 or newer is needed; in a container its seccomp profile may be in the way"});
  } else {
    findings.push_back(feature("memfd with F_SEAL_FUTURE_WRITE", true, "", "5.1"));
  }
  findings.push_back(feature("pidfd_open", pidfd_offered(), "a holder's death is noticed by its socket only", "5.3"));
  findings.push_back(feature("SO_PEERPIDFD", peer_pidfd_offered(), "pidfd_open with a second look is used instead", "6.5"));
  findings.push_back(feature("SO_PEERGROUPS", peer_groups_offered(), "rules of namespaces see a user's own group only, no further ones", "4.13"));
  findings.push_back(feature("membarrier", membarrier_offered(), "hits take a locked instruction more, and reconnecting is slower", "4.16"));
  // Older kernels do without SO_PEERPIDFD as a matter of course.
  for (Finding& finding : findings) {
    if (finding.level == Level::warn && finding.text.starts_with("SO_PEERPIDFD")) finding = {Level::ok, "kernel", finding.text, ""};
  }
  return findings;
}

Findings check_limits(std::uint32_t daemon_pid) {
  Findings findings;
  rlimit own{};
  ::getrlimit(RLIMIT_NOFILE, &own);
  const std::string open_files = "open files here: " + std::to_string(own.rlim_cur);
  if (own.rlim_cur < 256) findings.push_back({Level::warn, "limits", open_files + ", which is few", "ulimit -n 1024"});
  else findings.push_back({Level::ok, "limits", open_files, ""});
  if (const auto daemon = open_files_limit(daemon_pid)) {
    // A connection takes its socket, its pin page and its process's pidfd; a blob takes one.
    const std::uint64_t connections = daemon->soft / 3;
    const std::string text = "open files of the daemon: " + std::to_string(daemon->soft) + " (hard limit " + std::to_string(daemon->hard) + ")";
    if (connections < 64) {
      findings.push_back({Level::warn, "limits", text + ", enough for about " + std::to_string(connections) + " connections", more_descriptors});
    } else {
      findings.push_back({Level::ok, "limits", text, ""});
    }
  }
  return findings;
}

Findings check_blobs(const protocol::Report& status) {
  const std::uint64_t blobs = count(status, "blobs");
  const std::uint64_t blobs_max = count(status, "blobs_max");
  Findings findings;
  const std::string many = plural(blobs, "blob") + " of at most " + human_count(blobs_max);
  if (blobs_max == 0) {
    findings.push_back({Level::fail, "large parts", "the daemon keeps none: it has no descriptors left for them", more_descriptors});
  } else if (blobs >= blobs_max - blobs_max / 10) {
    findings.push_back({Level::warn, "large parts", many + ": values go to make room, whatever their size",
                        std::string("each takes a descriptor of the daemon: ") + more_descriptors + "; or publish fewer, larger parts"});
  } else {
    findings.push_back({Level::ok, "large parts", many, ""});
  }
  // A full budget is what a cache comes to; one that holds next to nothing is a mistake.
  const bool small = count(status, "blob_bytes_max") < limits::value_bytes_max * 16;
  findings.push_back({small ? Level::warn : Level::ok, "large parts", large_parts_text(status),
                      small ? "raise the setting blobs (--blobs, ONCED_BLOBS)" : ""});
  return findings;
}

std::optional<std::uint64_t> cgroup_memory_limit(const std::string& root, const std::string& cgroup) {
  std::optional<std::uint64_t> smallest;
  std::filesystem::path path = root + cgroup;
  while (path.string().size() >= root.size()) {
    const std::string line = first_line(path / "memory.max");
    std::istringstream words(line);
    std::uint64_t limit = 0;
    if (words >> limit) smallest = std::min(smallest.value_or(limit), limit);
    if (path == path.parent_path()) break;
    path = path.parent_path();
  }
  return smallest;
}

Findings check_memory(std::uint32_t daemon_pid, std::uint64_t segment_bytes, const protocol::Report& status) {
  Findings findings{{Level::ok, "memory", memory_text(status), ""}};
  const std::string line = first_line("/proc/" + std::to_string(daemon_pid) + "/cgroup");
  const std::uint64_t large_parts = count(status, "blob_bytes_max");
  const std::uint64_t bytes = segment_bytes + large_parts;
  const std::string use = human_bytes(bytes) + " when all is full: the segment (memory and its index) " + human_bytes(segment_bytes) +
                          ", large parts " + human_bytes(large_parts);
  const auto limit = line.starts_with("0::") ? cgroup_memory_limit("/sys/fs/cgroup", line.substr(3)) : std::nullopt;
  const std::string text = use + (limit ? "; cgroup limit " + human_bytes(*limit) : "; no cgroup limits it");
  if (limit && bytes > *limit) {
    findings.push_back({Level::fail, "memory", text + ": the daemon will be killed when they fill up",
                        "raise MemoryMax= of the unit or lower the daemon's memory or blobs"});
  } else if (limit && bytes > *limit / 10 * 9) {
    findings.push_back({Level::warn, "memory", text + ": little is left for everything else", "raise MemoryMax= of the unit"});
  } else {
    findings.push_back({Level::ok, "memory", text, ""});
  }
  return findings;
}

Findings check_disk(const protocol::Report& status) {
  if (!number(status, "disk_bytes_max")) return {};
  Findings findings;
  if (count(status, "disk_degraded") > 0) {
    findings.push_back({Level::fail, "disk", disk_text(status) + ": degraded, nothing is written; what was dropped may be found again after a crash",
                        "`oncectl disk` says why; look at free space and at the kernel's log (dmesg), then wait: it is tried again at least once a minute"});
  } else {
    findings.push_back({Level::ok, "disk", disk_text(status), ""});
  }
  if (const std::uint64_t left_out = count(status, "disk_left_out"); left_out > 0) {
    findings.push_back({Level::warn, "disk", plural(left_out, "value") + " could not be kept on disk since the start",
                        "compare the setting disk.size with the free space of its file system (df), and what is published with what the disk can write"});
  }
  if (const std::uint64_t older = count(status, "disk_older_bytes"); older > 0) {
    findings.push_back({Level::warn, "disk", human_bytes(older) + " of it belong to a store of an older format, which this daemon does not read",
                        "it goes by itself when its room is needed; to have that sooner, remove aside/format-* in the directory that `oncectl disk` names (seen at the next start)"});
  }
  if (const std::uint64_t damaged = count(status, "disk_damaged"); damaged > 0) {
    findings.push_back({Level::warn, "disk", plural(damaged, "value") + " found damaged since the start, and absent now",
                        "the daemon's log names them; look at the disk's health (smartctl), and at all else with `oncectl disk verify`"});
  }
  return findings;
}

Findings check_holders(const std::vector<protocol::ListRow>& rows) {
  Findings findings;
  std::size_t computing = 0;
  for (const protocol::ListRow& row : rows) {
    if (row.state != protocol::KeyState::computing) continue;
    ++computing;
    const double seconds = static_cast<double>(row.age_ms) / 1e3;
    if (seconds < long_holder_seconds) continue;
    findings.push_back({Level::warn, "holders", key_display(row.key) + " has been computed for " + human_duration(seconds) + " by " +
                                                    escape(row.holder) + ", " + human_count(row.waiting) + " waiting",
                        "`oncectl cancel` ends it; a lease limit would bound it"});
  }
  if (findings.empty()) findings.push_back({Level::ok, "holders", plural(computing, "computation") + ", none for long", ""});
  return findings;
}

Finding check_turns(const protocol::Report& statistics) {
  constexpr double long_turn_seconds = 0.1;
  const auto longest = [&](const std::string& of) {
    return human_duration(number(statistics, "longest_turn_seconds" + of).value_or(0)) + " (" +
           human_duration(number(statistics, "longest_turn_ago_seconds" + of).value_or(0)) + " ago)";
  };
  const bool none = number(statistics, "longest_turn_seconds_last_hour").value_or(0) == 0;
  const std::string text = "longest turn of the daemon's loop: " + (none ? std::string("none") : longest("_last_hour")) + " in the last hour, " +
                           longest("") + " since its start";
  if (number(statistics, "longest_turn_seconds_last_hour").value_or(0) <= long_turn_seconds) return {Level::ok, "loop", text, ""};
  return {Level::warn, "loop", text + ": every client waited for so long",
          "give the daemon its share of a busy machine (CPUWeight= of the unit) and keep its memory out of the swap "
          "(MemorySwapMax=0); a debugger or SIGSTOP does it too; when neither is so, its log tells what happened then"};
}

Findings check_limit_use(const protocol::Report& statistics) {
  const auto setting_of = [](const std::string& name) { return name == "sessions" ? "sessions.sessions_max" : "limits." + name + "_max"; };
  constexpr std::string_view most_suffix = "_most";
  Findings findings;
  std::size_t looked_at = 0;
  for (const auto& [field, number] : statistics) {
    if (!field.ends_with(most_suffix) || field.starts_with("turn_")) continue;  // a turn's share is used up as a matter of course
    const std::string name = field.substr(0, field.size() - most_suffix.size());
    const std::uint64_t most = count(statistics, field);
    const std::uint64_t limit = count(statistics, name + "_max");
    const std::uint64_t refused = count(statistics, name + "_refused");
    ++looked_at;
    if (refused == 0 && most < limit - limit / 10) continue;
    findings.push_back({Level::warn, "limits", setting_of(name) + " is " + human_count(limit) + "; the most there is now: " + human_count(most) +
                                                   (refused > 0 ? ", refused since the start: " + human_count(refused) : std::string()),
                        "find out who needs so much (`oncectl ls`, `oncectl status`), or raise the setting " + setting_of(name)});
  }
  if (const std::uint64_t evicted = count(statistics, "sessions_evicted"); evicted > 0) {
    findings.push_back({Level::warn, "limits", plural(evicted, "session") + " ended since the start to make room for others: sessions.sessions_max is " +
                                                   human_count(count(statistics, "sessions_max")),
                        "raise it if that many users are expected at once, or have sessions end sooner by sessions.idle_ttl"});
  }
  if (findings.empty()) findings.push_back({Level::ok, "limits", plural(looked_at, "limit") + " of clients, none met or near", ""});
  return findings;
}

Finding check_pinned(const protocol::Report& statistics) {
  const std::uint64_t arena = count(statistics, "memory_bytes_max");
  const std::uint64_t retired = count(statistics, "retired_bytes");
  const std::uint64_t pinned = count(statistics, "pinned_bytes");
  std::string sentence = human_bytes(retired) + " of " + human_bytes(arena) + " dropped and not yet reused";
  if (pinned > 0) sentence += "; readers hold on to " + human_bytes(pinned) + ", large parts included, most of it " + escape(text(statistics, "pinned_most_by"));
  if (arena > 0 && retired > arena / 4) {
    return {Level::warn, "pins", sentence + ": readers hold on to it",
            "let clients destroy their values sooner, or give the daemon more memory"};
  }
  return {Level::ok, "pins", sentence, ""};
}

}  // namespace onced::cli
