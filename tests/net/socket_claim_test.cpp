#include "net/socket_claim.hpp"

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <optional>

#include "support/temp_directory.hpp"

using namespace onced;
using namespace onced::net;
using onced::testing::TempDirectory;

namespace {

bool can_connect(const std::filesystem::path& path) {
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const bool connected = ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  ::close(socket);
  return connected;
}

}  // namespace

TEST_CASE("nobody gets in before listen(), and the modes are set by then") {
  const TempDirectory directory;
  const auto path = directory / "inner/onced.sock";
  auto claim = SocketClaim::take({path, 0640, 0710});
  REQUIRE(claim.ok());
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0640);
  REQUIRE(::stat(path.parent_path().c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0710);
  CHECK_FALSE(can_connect(path));
  REQUIRE(claim->listen().ok());
  CHECK(can_connect(path));
}

TEST_CASE("a path is claimed once, and free again when its claim has gone") {
  const TempDirectory directory;
  const auto path = directory / "onced.sock";
  {
    auto first = SocketClaim::take({path});
    REQUIRE(first.ok());
    const auto second = SocketClaim::take({path});
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().text.find("another onced (pid " + std::to_string(::getpid()) + ")") != std::string::npos);
    // The loser has not touched anything.
    REQUIRE(first->listen().ok());
    CHECK(can_connect(path));
  }
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(std::filesystem::exists(path.string() + ".lock"));
  CHECK(SocketClaim::take({path}).ok());
}

TEST_CASE("a claim that has stopped listening still keeps others out") {
  const TempDirectory directory;
  const auto path = directory / "onced.sock";
  auto claim = SocketClaim::take({path});
  REQUIRE(claim.ok());
  REQUIRE(claim->listen().ok());
  claim->stop_listening();
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK_FALSE(SocketClaim::take({path}).ok());
}

TEST_CASE("a lock that is a symbolic link is not followed") {
  const TempDirectory directory;
  const auto path = directory / "onced.sock";
  onced::testing::write_file(directory / "precious", "content");
  std::filesystem::create_symlink(directory / "precious", path.string() + ".lock");
  CHECK_FALSE(SocketClaim::take({path}).ok());
  CHECK(onced::testing::read_file(directory / "precious") == "content");
}

TEST_CASE("a claim that ends does not remove what somebody has put in its place") {
  const TempDirectory directory;
  const auto path = directory / "onced.sock";
  {
    auto claim = SocketClaim::take({path});
    REQUIRE(claim.ok());
    std::filesystem::remove(path);
    onced::testing::write_file(path, "somebody else's");
  }
  CHECK(onced::testing::read_file(path) == "somebody else's");
}
