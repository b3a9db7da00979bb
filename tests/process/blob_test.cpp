// Large parts through a real daemon: reserved, filled, sealed, published, fetched, dropped.
#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <optional>

#include "process/blob_client.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::testing::BlobClient;
using onced::testing::BlobEnd;
using onced::testing::Bystander;
using onced::testing::DaemonProcess;
using onced::testing::key_bytes;
using onced::testing::mebibyte;
using onced::testing::wait_until;

namespace {

// What a process keeps in blobs by its open descriptors: exact, whatever else the machine does.
struct Blobs {
  std::size_t count = 0;
  std::uint64_t bytes = 0;  // in memory
};
Blobs blobs_held_by(pid_t pid) {
  Blobs held;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (target.find("memfd:onced-blob") == std::string::npos) continue;
    struct stat status {};
    if (::stat(entry.path().c_str(), &status) != 0) continue;  // closed meanwhile
    ++held.count;
    held.bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  return held;
}

std::string pattern(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 2654435761U) >> 13);
  return text;
}

}  // namespace

TEST_CASE("what one client fills and seals, another reads, byte for byte") {
  DaemonProcess daemon;
  BlobClient holder(daemon.socket());
  BlobClient reader(daemon.socket());
  const std::string key = key_bytes("large", 1);
  const std::string bytes = pattern(3 * mebibyte + 17);
  const Lease lease = holder.acquire_lease(key);
  {
    const BlobEnd blob = holder.reserve(bytes.size());
    CHECK(blob.bytes() == bytes.size());
    blob.fill(bytes);
    REQUIRE(blob.seal() == 0);
    const Reply answer = holder.publish(lease.token, BlobClient::parts_of(blob));
    REQUIRE(std::holds_alternative<Published>(answer));
    CHECK(std::get<Published>(answer).stored);
  }
  const Value value = reader.get(key);
  REQUIRE(value.parts.size() == 1);
  CHECK(value.parts[0].length == bytes.size());
  CHECK(value.parts[0].bytes.empty());
  const BlobEnd fetched = reader.fetch(value.parts[0].blob);
  CHECK(fetched.read_mapped(bytes.size()) == bytes);
  // It stays readable when nobody has it any more but this reader.
  holder.raw().request(900, Invalidate{{ScopeKind::key, key}});
  CHECK(holder.raw().receive_only<Done>().count == 1);
  reader.raw().request(901, Release{{value.parts[0].blob}});
  wait_until([&] { return blobs_held_by(daemon.pid()).count == 0; }, "the daemon to let it go");
  CHECK(fetched.read_mapped(bytes.size()) == bytes);
}

TEST_CASE("several parts share a blob, beside parts that travel inline") {
  DaemonProcess daemon;
  BlobClient holder(daemon.socket());
  BlobClient reader(daemon.socket());
  const std::string key = key_bytes("parts", 1);
  const BlobEnd blob = holder.reserve(256 * 1024);
  std::string bytes = pattern(200'000);
  blob.fill(bytes);
  REQUIRE(blob.seal() == 0);
  CHECK(holder.put(key, {{"small", "text/plain", "inline"},
                         {"a", "", {}, blob.number(), 0, 100'000},
                         {"b", "", {}, blob.number(), 100'032, 99'968}})
            .stored);
  const Value value = reader.get(key);
  REQUIRE(value.parts.size() == 3);
  CHECK(value.parts[0].bytes == "inline");
  CHECK(value.parts[1].blob == value.parts[2].blob);
  const BlobEnd fetched = reader.fetch(value.parts[2].blob);
  CHECK(fetched.read_mapped(bytes.size()).substr(value.parts[2].offset, value.parts[2].length) == bytes.substr(100'032, 99'968));
}

TEST_CASE("a blob that is not sealed is refused with the seals that are missing, and given back") {
  DaemonProcess daemon;
  BlobClient holder(daemon.socket());
  const Lease lease = holder.acquire_lease(key_bytes("unsealed", 1));
  const BlobEnd blob = holder.reserve(mebibyte);
  CHECK(holder.status("blob_bytes") == mebibyte);
  const Reply answer = holder.publish(lease.token, BlobClient::parts_of(blob));
  const auto* refused = std::get_if<Refused>(&answer);
  REQUIRE(refused != nullptr);
  CAPTURE(refused->text);
  CHECK(refused->text.find("F_SEAL_WRITE") != std::string::npos);
  wait_until([&] { return holder.status("blob_bytes") == 0; }, "the memory to be closed");
  // The connection lives, and so does the lease: another attempt may be better.
  const BlobEnd better = holder.reserve(4096);
  better.fill("better");
  REQUIRE(better.seal() == 0);
  CHECK(std::holds_alternative<Published>(holder.publish(lease.token, BlobClient::parts_of(better))));
}

TEST_CASE("a part that reaches beyond its blob, or names another's reservation, is refused") {
  DaemonProcess daemon;
  BlobClient holder(daemon.socket());
  BlobClient thief(daemon.socket());
  const Lease lease = holder.acquire_lease(key_bytes("beyond", 1));
  const BlobEnd blob = holder.reserve(4096);
  blob.fill("x");
  REQUIRE(blob.seal() == 0);
  const Lease stolen = thief.acquire_lease(key_bytes("stolen", 1));
  CHECK(std::holds_alternative<Refused>(thief.publish(stolen.token, BlobClient::parts_of(blob))));
  thief.raw().request(900, Fetch{blob.number(), 0});
  CHECK(thief.raw().receive_only<Refused>().code == ErrorCode::not_found);
  thief.raw().request(901, Release{{blob.number()}});
  wait_until([&] { return thief.status("blobs") == 1; }, "the memory to be closed");
  CHECK(std::holds_alternative<Refused>(holder.publish(lease.token, {{"", "", {}, blob.number(), 0, 4097}})));
}

TEST_CASE("what a holder has reserved is charged to nobody when it dies, and its memory is gone") {
  DaemonProcess daemon;
  BlobClient witness(daemon.socket());
  {
    BlobClient holder(daemon.socket());
    const BlobEnd first = holder.reserve(8 * mebibyte);
    first.fill_all('x');
    const BlobEnd second = holder.reserve(8 * mebibyte);
    CHECK(witness.status("blob_bytes") == 16 * mebibyte);
    CHECK(witness.status("blobs_reserved") == 2);
    CHECK(blobs_held_by(daemon.pid()).bytes >= 8 * mebibyte);
  }
  wait_until([&] { return witness.status("blob_bytes") == 0; }, "the charge to return");
  wait_until([&] { return witness.status("blobs") == 0; }, "the memory to be closed");
  wait_until([&] { return blobs_held_by(daemon.pid()).count == 0; }, "the closer");
}

TEST_CASE("a reservation above the budget evicts what is there, or is refused with the setting's name") {
  DaemonProcess daemon(DaemonProcess::options({"--blobs", "8MiB"}));
  BlobClient client(daemon.socket());
  {
    const BlobEnd old = client.reserve(6 * mebibyte);
    old.fill_all('o');
    REQUIRE(old.seal() == 0);
    CHECK(client.put(key_bytes("old", 1), BlobClient::parts_of(old)).stored);
  }
  const BlobEnd kept = client.reserve(5 * mebibyte);  // for which the old value goes
  CHECK(client.status("entries") == 0);
  client.raw().request(900, Reserve{5 * mebibyte, client.receipt()});
  const auto refused = client.raw().receive_only<Refused>();
  CHECK(refused.code == ErrorCode::out_of_memory);
  CAPTURE(refused.text);
  CHECK(refused.text.find("blobs") != std::string::npos);
}

TEST_CASE("a budget that a reload raises counts at once") {
  const onced::testing::TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, "blobs = \"4MiB\"\n[limits]\npart_bytes_max = \"3MiB\"\n");
  DaemonProcess daemon(DaemonProcess::options({"--config", file}));
  BlobClient client(daemon.socket());
  client.raw().request(900, Reserve{4 * mebibyte, 0});
  CHECK(client.raw().receive_only<Refused>().code == ErrorCode::too_large);
  onced::testing::write_file(file, "blobs = \"16MiB\"\n");
  daemon.kill(SIGHUP);
  daemon.wait_for_log("changed blobs: 4MiB -> 16MiB");
  const BlobEnd blob = client.reserve(16 * mebibyte);
  CHECK(client.status("blob_bytes_max") == 16 * mebibyte);
}

TEST_CASE("10,000 blobs live at a time") {
  rlimit descriptors{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &descriptors) == 0);
  if (descriptors.rlim_max < 12'000) {
    MESSAGE("skipped: at most " << descriptors.rlim_max << " open files are allowed here");
    return;
  }
  // It starts with a low soft limit, as most processes do, and raises it itself.
  const rlimit low{1024, descriptors.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  DaemonProcess daemon(DaemonProcess::options({"--set", "limits.connections_max=64"}));
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &descriptors) == 0);
  BlobClient client(daemon.socket());
  constexpr int count = 10'000;
  for (int i = 0; i < count; ++i) {
    const BlobEnd blob = client.reserve(4096);
    REQUIRE(client.put_filled(key_bytes("many", i), blob, "blob " + std::to_string(i)).stored);
  }
  CHECK(client.status("blobs") == count);
  CHECK(client.status("blob_bytes") == count * 4096);
  BlobClient reader(daemon.socket());
  for (const int i : {0, 1, count / 2, count - 1}) {
    const Value value = reader.get(key_bytes("many", i));
    REQUIRE(value.parts.size() == 1);
    const std::string wanted = "blob " + std::to_string(i);
    CHECK(reader.fetch(value.parts[0].blob).read(wanted.size()) == wanted);
    reader.raw().request(900, Release{{value.parts[0].blob}});
  }
  Bystander(daemon.socket()).check();
  client.raw().request(900, Invalidate{{ScopeKind::function, "many"}});
  CHECK(client.raw().receive_only<Done>().count == count);
  wait_until([&] { return client.status("blobs") == 0; }, "the blobs to be dropped");
  wait_until([&] { return blobs_held_by(daemon.pid()).count == 0; }, "the closer");
}

TEST_CASE("memory comes back when 1 GiB of blobs is dropped, and nobody waits for that") {
  DaemonProcess daemon(DaemonProcess::options({"--blobs", "1536MiB"}));
  BlobClient client(daemon.socket());
  constexpr int count = 4;
  constexpr std::uint64_t bytes = 256 * mebibyte;
  for (int i = 0; i < count; ++i) {
    const BlobEnd blob = client.reserve(bytes);
    blob.fill_all('g');
    REQUIRE(blob.seal() == 0);
    REQUIRE(client.put(key_bytes("gibibyte", i), BlobClient::parts_of(blob)).stored);
  }
  CHECK(blobs_held_by(daemon.pid()).bytes >= count * bytes);
  Bystander bystander(daemon.socket());
  client.raw().request(900, Invalidate{{ScopeKind::function, "gibibyte"}});
  bystander.check();
  CHECK(client.raw().receive_only<Done>().count == count);
  wait_until([&] { return client.status("blob_bytes") == 0; }, "the charge to return");
  wait_until([&] { return blobs_held_by(daemon.pid()).count == 0; }, "the closer");
}
