// The unit that is installed: what keeps the daemon harmless must stand in it, and what would break it must not.
#include <doctest/doctest.h>

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "support/temp_directory.hpp"

namespace {

using Directives = std::map<std::string, std::vector<std::string>>;

// Of all sections: no two of them have a directive of the same name here.
Directives directives_of(const char* path) {
  Directives result;
  std::istringstream in(onced::testing::read_file(path));
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#' || line[0] == '[') continue;
    const std::size_t equals = line.find('=');
    REQUIRE(equals != std::string::npos);
    result[line.substr(0, equals)].push_back(line.substr(equals + 1));
  }
  return result;
}

}  // namespace

TEST_CASE("the unit runs the daemon as a user of its own, with no capabilities and no way to get any") {
  Directives unit = directives_of(ONCED_UNIT);
  CHECK(unit["User"] == std::vector<std::string>{"onced"});
  CHECK(unit["Group"] == std::vector<std::string>{"onced"});
  CHECK(unit["CapabilityBoundingSet"] == std::vector<std::string>{""});
  CHECK(unit["AmbientCapabilities"] == std::vector<std::string>{""});
  for (const char* name : {"NoNewPrivileges", "RestrictSUIDSGID", "RestrictNamespaces", "LockPersonality", "MemoryDenyWriteExecute", "PrivateDevices",
                           "PrivateNetwork", "PrivateTmp", "ProtectHome", "ProtectKernelModules", "ProtectKernelTunables", "ProtectControlGroups"}) {
    CAPTURE(name);
    CHECK(unit[name] == std::vector<std::string>{"yes"});
  }
  CHECK(unit["ProtectSystem"] == std::vector<std::string>{"strict"});
  CHECK(unit["RestrictAddressFamilies"] == std::vector<std::string>{"AF_UNIX"});
  // Privileged system calls are taken out again after what is let in.
  CHECK(unit["SystemCallFilter"] == std::vector<std::string>{"@system-service", "~@privileged @resources", "prlimit64 setrlimit"});
  const std::string sysusers = onced::testing::read_file(ONCED_SYSUSERS);
  CHECK(sysusers.find("\nu onced - ") != std::string::npos);
}

TEST_CASE("the unit lets no values into core files, and nobody into the socket's directory but its group") {
  Directives unit = directives_of(ONCED_UNIT);
  CHECK(unit["LimitCORE"] == std::vector<std::string>{"0"});
  CHECK(unit["RuntimeDirectoryMode"] == std::vector<std::string>{"0750"});
  CHECK(unit["StateDirectory"] == std::vector<std::string>{"onced"});  // values on disk; all else is read-only
  CHECK(unit["StateDirectoryMode"] == std::vector<std::string>{"0700"});
  CHECK(unit["UMask"] == std::vector<std::string>{"0077"});
  CHECK(unit.contains("LimitNOFILE"));
  CHECK(unit.contains("WatchdogSec"));
}

TEST_CASE("the unit does not hide from the daemon who its clients are") {
  Directives unit = directives_of(ONCED_UNIT);
  // Every client would be uid 65534, which matches no rule; and without SO_PEERPIDFD clients are looked at in /proc.
  for (const char* name : {"PrivateUsers", "ProtectProc", "ProcSubset", "DynamicUser", "PrivatePIDs"}) {
    CAPTURE(name);
    CHECK_FALSE(unit.contains(name));
  }
}
