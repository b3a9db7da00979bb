// How the client asks for the memory of large parts, and what it makes of a daemon that answers late or wrongly.
#include <onced/client.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "channel.hpp"
#include "child.hpp"
#include "connected.hpp"
#include "mapping.hpp"
#include "support/temp_directory.hpp"
#include "support/watchdog.hpp"

using namespace onced;
using namespace onced::testing;
using client_detail::Channel;
using client_detail::deadline_in;
using client_detail::Descriptor;
using client_detail::Socket;

namespace {

constexpr std::uint64_t large = 1024 * 1024;
constexpr int reserved = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr int published = reserved | F_SEAL_WRITE | F_SEAL_SEAL;

Descriptor sealed_file(std::uint64_t bytes, int seals, std::string_view content = {}) {
  Descriptor file(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (ftruncate(file.number(), static_cast<off_t>(bytes)) != 0) throw std::runtime_error("ftruncate");
  if (::pwrite(file.number(), content.data(), content.size(), 0) != static_cast<ssize_t>(content.size())) throw std::runtime_error("pwrite");
  if (fcntl(file.number(), F_ADD_SEALS, seals) != 0) throw std::runtime_error("seal");
  return file;
}
std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

struct BlobPair {
  BlobPair() : BlobPair(ends()) {}
  explicit BlobPair(std::pair<int, int> both)
      : channel(Socket(Descriptor(both.first)), protocol::FrameReader(limits::frame_payload_bytes_max), nullptr), peer(both.second) {}
  static std::pair<int, int> ends() {
    int both[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) != 0) throw std::runtime_error("socketpair");
    return {both[0], both[1]};
  }
  Channel channel;
  FakeConnection peer;
};

// A client whose daemon the test plays.
struct Played : ConnectedClient {
  Played() : ConnectedClient({.request_timeout = std::chrono::duration_cast<Milliseconds>(watchdog_limit)}) {}

  void send_blob(protocol::RequestId id, const protocol::Blob& blob, const Descriptor& descriptor) {
    connection->send_raw(FakeConnection::frame(id, blob), {descriptor.number()});
  }
  // A value whose one part is lent.
  std::jthread ask(std::optional<Result<std::optional<Value>>>& result) {
    return std::jthread([this, &result] { result.emplace(client->get(key_named("lent").bytes())); });
  }
  void answer_lent(std::vector<protocol::Part> parts) {
    const auto asked = connection->expect<protocol::Acquire>();
    protocol::Value value;
    value.version = 3;
    value.parts = std::move(parts);
    connection->send(asked.id, value);
  }
};

protocol::Part part_in(std::uint64_t blob, std::string name = {}, std::uint64_t offset = 0, std::uint64_t length = large) {
  protocol::Part part;
  part.name = std::move(name);
  part.blob = blob;
  part.offset = offset;
  part.length = length;
  return part;
}

}  // namespace

TEST_CASE("every request for memory carries the receipt of the one before") {
  BlobPair pair;
  std::vector<Result<Channel::BlobMemory>> answers;
  std::jthread caller([&] {
    answers.push_back(pair.channel.reserve(large, true, deadline_in(watchdog_limit)));
    answers.push_back(pair.channel.fetch(71, deadline_in(watchdog_limit)));
    answers.push_back(pair.channel.reserve(9, true, deadline_in(watchdog_limit)));
  });
  const auto first = pair.peer.expect<protocol::Reserve>();
  CHECK(first.message.receipt == 0);
  CHECK(first.message.bytes == large);
  pair.peer.send_raw(FakeConnection::frame(first.id, protocol::Blob{70, large, 1234}), {sealed_file(large, reserved).number()});
  const auto second = pair.peer.expect<protocol::Fetch>();
  CHECK(second.message.receipt == 1234);
  pair.peer.send(second.id, protocol::Refused{ErrorCode::not_found, "no such blob"});
  const auto third = pair.peer.expect<protocol::Reserve>();
  CHECK(third.message.receipt == 1234);
  pair.peer.send_raw(FakeConnection::frame(third.id, protocol::Blob{72, 9, 99}), {sealed_file(9, reserved).number()});
  caller.join();
  CHECK(answers[0]->blob == 70);
  CHECK(answers[0]->descriptor.open());
  CHECK(answers[1].error().code == ErrorCode::not_found);
  CHECK(answers[2]->blob == 72);
}

TEST_CASE("many threads ask for memory one after the other, while others are answered") {
  BlobPair pair;
  constexpr int callers = 8;
  std::atomic<int> right{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&, i] {
      auto answer = pair.channel.fetch(static_cast<std::uint64_t>(100 + i), deadline_in(watchdog_limit));
      right += answer.ok() && answer->blob == static_cast<std::uint64_t>(100 + i) && answer->descriptor.open();
      right += pair.channel.ping(deadline_in(watchdog_limit)).ok();
    });
  }
  std::uint64_t receipt = 0;
  bool under_way = false;
  for (int asked = 0; asked < 2 * callers;) {
    const auto [id, request] = pair.peer.next_request();
    ++asked;
    if (const auto* fetch = std::get_if<protocol::Fetch>(&request)) {
      CHECK_FALSE(under_way);
      CHECK(fetch->receipt == receipt);
      receipt = fetch->blob * 1000;
      pair.peer.send_raw(FakeConnection::frame(id, protocol::Blob{fetch->blob, 1, receipt}), {sealed_file(1, published).number()});
    } else {
      pair.peer.send(id, protocol::Done{0});
    }
  }
  threads.clear();
  CHECK(right == 2 * callers);
}

TEST_CASE("memory that comes after its caller has gone is closed and given back, and its receipt counts") {
  BlobPair pair;
  const std::size_t before = open_descriptors();
  CHECK(pair.channel.reserve(large, true, deadline_in(std::chrono::milliseconds(20))).error().code == ErrorCode::unavailable);
  const auto late = pair.peer.expect<protocol::Reserve>();
  std::optional<Result<Channel::BlobMemory>> answer;
  std::jthread caller([&] { answer.emplace(pair.channel.reserve(large, true, deadline_in(watchdog_limit))); });
  // It may not ask before the first has been answered, and makes sure by a question that is.
  const auto ping = pair.peer.expect<protocol::Unsubscribe>();
  pair.peer.send_raw(FakeConnection::frame(late.id, protocol::Blob{70, large, 1234}), {sealed_file(large, reserved).number()});
  pair.peer.send(ping.id, protocol::Done{0});
  CHECK(pair.peer.expect<protocol::Release>().message.blobs == std::vector<std::uint64_t>{70});
  const auto next = pair.peer.expect<protocol::Reserve>();
  CHECK(next.message.receipt == 1234);
  pair.peer.send(next.id, protocol::Refused{ErrorCode::out_of_memory, "full"});
  caller.join();
  CHECK(answer->error().code == ErrorCode::out_of_memory);
  CHECK(open_descriptors() == before);
}

TEST_CASE("a descriptor, or a Blob, that is not the answer to a request for memory ends the connection") {
  const std::size_t before = open_descriptors();
  const auto broken_by = [](const std::function<void(FakeConnection&, protocol::RequestId)>& answer) {
    BlobPair pair;
    std::optional<Result<Channel::BlobMemory>> result;
    std::jthread caller([&] { result.emplace(pair.channel.reserve(large, true, deadline_in(watchdog_limit))); });
    const auto asked = pair.peer.expect<protocol::Reserve>();
    answer(pair.peer, asked.id);
    caller.join();
    CHECK(pair.channel.broken());
    return result->error().text;
  };
  const Descriptor one = sealed_file(large, reserved);
  const protocol::Blob blob{70, large, 1};
  CHECK(broken_by([&](FakeConnection& peer, protocol::RequestId id) { peer.send(id, blob); }).find("without a descriptor") != std::string::npos);
  CHECK(broken_by([&](FakeConnection& peer, protocol::RequestId id) { peer.send(id + 7, blob); }).find("nobody asked") != std::string::npos);
  broken_by([&](FakeConnection& peer, protocol::RequestId id) {
    peer.send_raw(FakeConnection::frame(id, blob), {one.number(), one.number()});
  });
  broken_by([&](FakeConnection& peer, protocol::RequestId id) {
    peer.send_raw(FakeConnection::frame(id, protocol::Refused{ErrorCode::out_of_memory, "full"}), {one.number()});
  });
  CHECK(broken_by([&](FakeConnection& peer, protocol::RequestId id) {
          peer.send_raw(FakeConnection::frame(id + 7, protocol::Position{1, 1}), {one.number()});
          peer.send_raw(FakeConnection::frame(id, blob), {one.number()});
        }).find("descriptor") != std::string::npos);
  CHECK(open_descriptors() == before + 1);
}

TEST_CASE("a lent value is mapped at once and given back at once") {
  Played p;
  std::optional<Result<std::optional<Value>>> result;
  std::jthread asking = p.ask(result);
  p.answer_lent({part_in(70)});
  const auto fetch = p.connection->expect<protocol::Fetch>();
  CHECK(fetch.message.blob == 70);
  p.send_blob(fetch.id, {70, large, 5}, sealed_file(large, published, "lent"));
  CHECK(p.connection->expect<protocol::Release>().message.blobs == std::vector<std::uint64_t>{70});
  asking.join();
  const Value& value = ***result;
  CHECK(value.text().substr(0, 4) == "lent");
  CHECK(value.bytes().size() == large);
  CHECK(value.version() == 3);
  CHECK_FALSE(value.in_shared_memory());
}

TEST_CASE("named lent parts are fetched when they are asked for; what is not is given back with the value") {
  Played p;
  std::optional<Result<std::optional<Value>>> result;
  std::jthread asking = p.ask(result);
  protocol::Part small{"small", "", "inline", 0, 0, 0};
  p.answer_lent({part_in(70, "a", 0, 100), small, part_in(70, "b", 128, 100), part_in(71, "c")});
  asking.join();
  CHECK((**result)->part("small")->text() == "inline");
  CHECK_FALSE(p.connection->readable());
  std::jthread reading([&] { CHECK((**result)->part("b")->text() == "the b" + std::string(95, '\0')); });
  const auto fetch = p.connection->expect<protocol::Fetch>();
  CHECK(fetch.message.blob == 70);
  p.send_blob(fetch.id, {70, large, 5}, sealed_file(large, published, std::string(128, 'a') + "the b"));
  reading.join();
  CHECK((**result)->part("a")->text() == std::string(100, 'a'));  // the same memory
  CHECK_FALSE(p.connection->readable());
  (**result).reset();
  CHECK(p.connection->expect<protocol::Release>().message.blobs == std::vector<std::uint64_t>{70, 71});
}

TEST_CASE("a child gives nothing back that was lent to its parent") {
  Played p;
  std::optional<Result<std::optional<Value>>> result;
  std::jthread asking = p.ask(result);
  p.answer_lent({part_in(70, "a")});
  asking.join();
  CHECK(in_child([&] {
          if ((**result)->part("a").error().code != ErrorCode::unavailable) return 1;
          (**result).reset();
          return 0;
        }) == 0);
  CHECK_FALSE(p.connection->readable());
  (**result).reset();
  CHECK(p.connection->expect<protocol::Release>().message.blobs == std::vector<std::uint64_t>{70});
}

TEST_CASE("a child reads the parts that were mapped, also when it was forked while other threads read them") {
  Played p;
  std::optional<Result<std::optional<Value>>> result;
  std::jthread asking = p.ask(result);
  p.answer_lent({part_in(70, "a"), part_in(71, "b")});
  asking.join();
  const Value& value = ***result;
  std::jthread first([&] { CHECK(value.part("a").ok()); });
  const auto fetch = p.connection->expect<protocol::Fetch>();
  p.send_blob(fetch.id, {70, large, 5}, sealed_file(large, published, "mapped"));
  first.join();
  std::atomic<bool> over{false};
  std::vector<std::jthread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!over) static_cast<void>(value.part("a"));
    });
  }
  int wrong = 0;
  for (int i = 0; i < 100 && wrong == 0; ++i) {
    wrong = in_child([&] {
      alarm(static_cast<unsigned>(std::chrono::duration_cast<std::chrono::seconds>(watchdog_limit).count()));  // it may hang
      const auto mapped = value.part("a");
      if (!mapped || mapped->text().substr(0, 6) != "mapped") return 1;
      return value.part("b").error().code == ErrorCode::unavailable ? 0 : 2;
    });
  }
  over = true;
  CHECK(wrong == 0);
}

TEST_CASE("memory that is not sealed, or not of its size, is no value") {
  struct Wrong {
    Descriptor file;
    protocol::Blob blob;
    protocol::Part part;
  };
  std::vector<Wrong> all;
  all.push_back({sealed_file(large, reserved), {70, large, 5}, part_in(70)});
  all.push_back({sealed_file(large, F_SEAL_WRITE | F_SEAL_SEAL), {70, large, 5}, part_in(70)});
  all.push_back({sealed_file(large / 2, published), {70, large, 5}, part_in(70)});
  all.push_back({sealed_file(large, published), {71, large, 5}, part_in(70)});
  all.push_back({sealed_file(large, published), {70, large, 5}, part_in(70, "", 64, large)});
  for (Wrong& wrong : all) {
    Played p;
    std::optional<Result<std::optional<Value>>> result;
    std::jthread asking = p.ask(result);
    p.answer_lent({wrong.part});
    const auto fetch = p.connection->expect<protocol::Fetch>();
    p.send_blob(fetch.id, wrong.blob, wrong.file);
    asking.join();
    CHECK(result->error().code == ErrorCode::malformed);
    CHECK(p.client->counters().mappings <= 1);
    if (&wrong == &all[0]) CHECK(result->error().text.find("not sealed against writing, further seals") != std::string::npos);
  }
}

TEST_CASE("a file is a value only when the daemon says that it is one, and it is the daemon's alone") {
  const TempDirectory directory;
  const std::string path = (directory / "part").string();
  {
    std::ofstream file(path, std::ios::binary);
    file << "mapped" << std::string(large - 6, '.');
  }
  struct Offered {
    const char* what;
    mode_t mode;
    int flags;
    bool announced;
    std::uint64_t bytes;
    const char* refused_with;  // nothing: it is taken
  };
  const Offered all[] = {
      {"as it should be", 0600, O_RDONLY, true, large, nullptr},
      {"read by others as well", 0644, O_RDONLY, true, large, nullptr},
      {"not announced", 0600, O_RDONLY, false, large, "no memory that can be sealed"},
      {"open for writing", 0600, O_RDWR, true, large, "could be written"},
      {"writable by others", 0602, O_RDONLY, true, large, "others than its owner"},
      {"writable by the group", 0620, O_RDONLY, true, large, "others than its owner"},
      {"of another size", 0600, O_RDONLY, true, large + 1, "bytes, the daemon says"},
  };
  for (const Offered& offered : all) {
    CAPTURE(offered.what);
    REQUIRE(::chmod(path.c_str(), offered.mode) == 0);
    Played p;
    std::optional<Result<std::optional<Value>>> result;
    std::jthread asking = p.ask(result);
    p.answer_lent({part_in(70)});
    const auto fetch = p.connection->expect<protocol::Fetch>();
    p.send_blob(fetch.id, {70, offered.bytes, 5, offered.announced}, Descriptor(::open(path.c_str(), offered.flags | O_CLOEXEC)));
    asking.join();
    if (offered.refused_with == nullptr) {
      REQUIRE_MESSAGE(result->ok(), result->error().text);
      CHECK((**result)->text().substr(0, 6) == "mapped");
    } else {
      REQUIRE_FALSE(result->ok());
      CHECK(result->error().code == ErrorCode::malformed);
      CHECK(result->error().text.find(offered.refused_with) != std::string::npos);
    }
  }
  // Announced, and no file.
  Played p;
  std::optional<Result<std::optional<Value>>> result;
  std::jthread asking = p.ask(result);
  p.answer_lent({part_in(70)});
  const auto fetch = p.connection->expect<protocol::Fetch>();
  p.send_blob(fetch.id, {70, large, 5, true}, Descriptor(::open("/dev/zero", O_RDONLY | O_CLOEXEC)));
  asking.join();
  CHECK(result->error().text.find("and it is none") != std::string::npos);
}

TEST_CASE("a file of another user is no value") {
  const client_detail::Descriptor own(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const auto owner = client_detail::owner_of(own, "program");
  REQUIRE(owner.ok());
  struct stat status {};
  REQUIRE(::fstat(own.number(), &status) == 0);
  CHECK(*owner == status.st_uid);
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  const auto foreign = client_detail::check_file(own, "part", bytes, *owner + 1);
  REQUIRE_FALSE(foreign.ok());
  CHECK(foreign.error().text.find("the daemon's memory belongs to uid") != std::string::npos);
}

TEST_CASE("a lent value that comes after its caller has gone is given back") {
  BlobPair pair;
  protocol::Acquire request;
  request.key = key_named("late").bytes();
  request.wait_ms = 1;
  CHECK_FALSE(pair.channel.call(request, deadline_in(std::chrono::milliseconds(1))).ok());
  const auto asked = pair.peer.expect<protocol::Acquire>();
  pair.peer.expect<protocol::Withdraw>();
  protocol::Value value;
  value.parts = {part_in(70, "a"), part_in(71, "b")};
  pair.peer.send(asked.id, value);
  std::jthread pinging([&] { CHECK(pair.channel.ping(deadline_in(watchdog_limit)).ok()); });
  pair.peer.send(pair.peer.expect<protocol::Unsubscribe>().id, protocol::Done{0});
  CHECK(pair.peer.expect<protocol::Release>().message.blobs == std::vector<std::uint64_t>{70, 71});
}

TEST_CASE("a blob is given back once, however many parts of a lent value are in it") {
  BlobPair pair;
  protocol::Acquire request;
  request.key = key_named("late").bytes();
  request.wait_ms = 1;
  CHECK_FALSE(pair.channel.call(request, deadline_in(std::chrono::milliseconds(1))).ok());
  const auto gone = pair.peer.expect<protocol::Acquire>();
  pair.peer.expect<protocol::Withdraw>();
  std::optional<Result<protocol::Reply>> other;
  std::jthread waiting([&] { other.emplace(pair.channel.call(request, deadline_in(watchdog_limit))); });
  const auto stays = pair.peer.expect<protocol::Acquire>();
  protocol::Value value;
  value.parts = {part_in(71, "a", 0, 100), part_in(70, "b"), part_in(71, "c", 128, 100)};
  pair.peer.send(gone.id, value);
  pair.peer.send(stays.id, value);
  // The other waiter's loan of the same blobs goes on.
  CHECK(pair.peer.expect<protocol::Release>().message.blobs == std::vector<std::uint64_t>{70, 71});
  waiting.join();
  REQUIRE(other->ok());
  CHECK(std::holds_alternative<protocol::Value>(**other));
  CHECK_FALSE(pair.peer.readable());
}

TEST_CASE("what is reserved and not published is given back") {
  Played p;
  std::jthread building([&] {
    ValueBuilder builder = p.client->builder();
    auto part = builder.reserve("a", large);
    REQUIRE(part.ok());
    (*part)[0] = std::byte{1};
  });
  const auto asked = p.connection->expect<protocol::Reserve>();
  CHECK(asked.message.bytes == large);
  p.send_blob(asked.id, {70, large, 5}, sealed_file(large, reserved));
  CHECK(p.connection->expect<protocol::Release>().message.blobs == std::vector<std::uint64_t>{70});
}

TEST_CASE("small parts that do not fit into the request share one blob; the smallest stay") {
  Played p;
  std::jthread putting([&] {
    ValueBuilder builder = p.client->builder();
    for (int i = 0; i < 3; ++i) REQUIRE(builder.add("part " + std::to_string(i), std::string(40'001, static_cast<char>('a' + i))).ok());
    REQUIRE(builder.add("tiny", "t").ok());
    CHECK(*p.client->put(key_named("packed").bytes(), std::move(builder)) == 9);
  });
  const auto asked = p.connection->expect<protocol::Reserve>();
  const std::uint64_t second = 40'001 / 64 * 64 + 64;
  CHECK(asked.message.bytes == second + 40'001);
  const Descriptor file = sealed_file(asked.message.bytes, reserved);
  p.send_blob(asked.id, {70, asked.message.bytes, 5}, file);
  const auto put = p.connection->expect<protocol::Put>();
  REQUIRE(put.message.parts.size() == 4);
  CHECK(put.message.parts[0].bytes == std::string(40'001, 'a'));
  CHECK(put.message.parts[3].bytes == "t");
  CHECK(put.message.parts[1].blob == 70);
  CHECK(put.message.parts[1].offset == 0);
  CHECK(put.message.parts[2].offset == second);
  CHECK(put.message.parts[2].length == 40'001);
  CHECK((fcntl(file.number(), F_GET_SEALS) & published) == published);
  std::string content(asked.message.bytes, '\0');
  CHECK(::pread(file.number(), content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
  CHECK(content.substr(0, 40'001) == std::string(40'001, 'b'));
  CHECK(content.substr(second) == std::string(40'001, 'c'));
  p.connection->send(put.id, protocol::Published{9, true});
}

TEST_CASE("a daemon that does not answer for memory is away: the computation goes on in memory of its own") {
  Played p;
  ClientOptions options;
  options.socket = p.daemon.path();
  options.on_warning = [](std::string_view) {};
  options.request_timeout = Milliseconds(50);
  Client client(options);
  std::optional<Result<Value>> value;
  std::jthread computing([&] {
    value.emplace(client.get_or_compute(key_named("slow"), {}, [](Computation& computation) -> Result<void> {
      auto part = computation.reserve("a", large);
      if (!part) return part.error();
      (*part)[large - 1] = std::byte{7};
      return {};
    }));
  });
  FakeConnection connection = p.daemon.welcome(p.space);
  const auto asked = connection.expect<protocol::Acquire>();
  connection.send(asked.id, protocol::Lease{{1, 1}, 1000, false, protocol::LeaseCause::absent});
  connection.expect<protocol::Reserve>();
  computing.join();
  REQUIRE(value->ok());
  CHECK((*value)->part("a")->bytes.back() == std::byte{7});
  CHECK((*value)->version() == 0);
  CHECK((*value)->not_stored().has_value());
}

TEST_CASE("a daemon that does not answer for a value's memory holds a call up no longer than the call may take") {
  Played p;
  const Key key = key_named("unmapped");
  auto& blobs = p.space.store->blobs();
  const auto blob = blobs.create(large);
  REQUIRE(blob.ok());
  REQUIRE(fcntl(blobs.descriptor(*blob)->get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
  REQUIRE(blobs.examine(*blob).ok());
  const std::vector<protocol::Part> parts{part_in(static_cast<std::uint64_t>(*blob))};
  engine::RecordImage image;
  image.key = key.bytes();
  image.parts = &parts;
  image.version = 1;
  REQUIRE(p.space.store->place(image, std::nullopt).outcome == engine::RecordStore::Outcome::placed);

  ComputeOptions options;
  options.wait_timeout = Milliseconds(1);  // the client's own request_timeout is as long as the watchdog's
  const auto value = p.client->get_or_compute(key, options, [](Computation& computation) {
    CHECK(computation.local());
    return std::string("computed");
  });
  CHECK(value->text() == "computed");
  CHECK(p.connection->expect<protocol::Fetch>().message.blob == static_cast<std::uint64_t>(*blob));
  CHECK(p.space.pins_set() == 0);
}

// The daemon answers with a value whose large part must be fetched, and is gone, going or silent when it is asked for.
TEST_CASE("a daemon that goes between a value and its memory is asked again, and so is its successor") {
  Played p;
  std::optional<Result<Value>> result;
  std::jthread asking([&] {
    result.emplace(p.client->get_or_compute(key_named("lent"), {}, [](Computation&) { return std::string("computed"); }));
  });
  p.answer_lent({part_in(70)});
  p.connection->expect<protocol::Fetch>();
  p.connection->close();
  FakeNamespace restarted(2);
  p.connection.emplace(p.daemon.welcome(restarted));
  p.answer_lent({part_in(80)});
  const auto fetch = p.connection->expect<protocol::Fetch>();
  CHECK(fetch.message.blob == 80);
  p.send_blob(fetch.id, {80, large, 5}, sealed_file(large, published, "again"));
  asking.join();
  REQUIRE(result->ok());
  CHECK((*result)->text().substr(0, 5) == "again");
}

TEST_CASE("a daemon that goes for good between a value and its memory is away: the value is computed here") {
  const auto compute = [](Computation& computation) {
    CHECK(computation.local());
    return std::string("computed");
  };
  SUBCASE("it is gone") {
    Played p;
    std::optional<Result<Value>> result;
    std::jthread asking([&] { result.emplace(p.client->get_or_compute(key_named("lent"), {}, compute)); });
    p.answer_lent({part_in(70)});
    p.connection->expect<protocol::Fetch>();
    p.daemon.stop_listening();
    p.connection->close();
    asking.join();
    REQUIRE(result->ok());
    CHECK((*result)->text() == "computed");
  }
  SUBCASE("it is shutting down") {
    Played p;
    std::optional<Result<Value>> result;
    std::jthread asking([&] { result.emplace(p.client->get_or_compute(key_named("lent"), {}, compute)); });
    p.answer_lent({part_in(70)});
    const auto fetch = p.connection->expect<protocol::Fetch>();
    p.connection->send(fetch.id, protocol::Refused{ErrorCode::unavailable, "the daemon is shutting down"});
    asking.join();
    REQUIRE(result->ok());
    CHECK((*result)->text() == "computed");
  }
  SUBCASE("it is silent") {
    Played p;
    ComputeOptions options;
    options.wait_timeout = Milliseconds(200);
    std::optional<Result<Value>> result;
    std::jthread asking([&] { result.emplace(p.client->get_or_compute(key_named("lent"), options, compute)); });
    p.answer_lent({part_in(70)});
    p.connection->expect<protocol::Fetch>();
    asking.join();
    REQUIRE(result->ok());
    CHECK((*result)->text() == "computed");
  }
}

TEST_CASE("without a free descriptor that one request for memory fails, and its receipt counts") {
  BlobPair pair;
  const Descriptor file = sealed_file(large, reserved);
  const auto ask = [&](auto request) {
    std::optional<Result<Channel::BlobMemory>> answer;
    std::jthread caller([&] { answer.emplace(request()); });
    const auto [id, asked] = pair.peer.next_request();
    const auto* reserve = std::get_if<protocol::Reserve>(&asked);
    const std::uint64_t receipt = reserve != nullptr ? reserve->receipt : std::get<protocol::Fetch>(asked).receipt;
    pair.peer.send_raw(FakeConnection::frame(id, protocol::Blob{70, large, receipt + 1}), {file.number()});
    caller.join();
    return std::make_pair(receipt, std::move(*answer));
  };
  const auto reserve = [&] { return pair.channel.reserve(large, true, deadline_in(watchdog_limit)); };
  const auto fetch = [&] { return pair.channel.fetch(70, deadline_in(watchdog_limit)); };
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  {
    rlimit few = before;
    few.rlim_cur = 128;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    std::vector<Descriptor> all;
    for (int number = dup(0); number >= 0; number = dup(0)) all.emplace_back(number);
    const auto reserved_one = ask(reserve);
    const auto given_back = pair.peer.expect<protocol::Release>().message.blobs;
    const auto fetched_one = ask(fetch);
    setrlimit(RLIMIT_NOFILE, &before);
    CHECK(reserved_one.second.error().code == ErrorCode::limit_reached);
    CHECK(reserved_one.second.error().text.find("ulimit -n") != std::string::npos);
    CHECK(fetched_one.second.error().code == ErrorCode::limit_reached);
    CHECK(given_back == std::vector<std::uint64_t>{70});
    CHECK(fetched_one.first == 1);
  }
  const auto next = ask(fetch);
  CHECK(next.first == 2);
  CHECK(next.second.ok());
  CHECK_FALSE(pair.channel.broken());
}

TEST_CASE("what was reserved for a put that could not even be sent is given back") {
  Played p;
  ClientOptions options;
  options.socket = p.daemon.path();
  options.on_warning = [](std::string_view) {};
  options.request_timeout = Milliseconds(1000);
  Client client(options);
  std::jthread connecting([&] { REQUIRE(client.connect().ok()); });
  FakeConnection connection = p.daemon.welcome(p.space);
  connecting.join();
  {
    ValueBuilder builder = client.builder();
    std::jthread reserving([&] { REQUIRE(builder.reserve("a", large).ok()); });
    const auto asked = connection.expect<protocol::Reserve>();
    connection.send_raw(FakeConnection::frame(asked.id, protocol::Blob{70, large, 5}), {sealed_file(large, reserved).number()});
    reserving.join();
    {
      std::vector<std::jthread> fillers;  // more than the socket holds
      for (int i = 0; i < 8; ++i) {
        fillers.emplace_back([&] { CHECK_FALSE(client.put(key_named("filler").bytes(), std::string(60'000, 'x')).ok()); });
      }
    }
    CHECK(client.put(key_named("unsent").bytes(), std::move(builder)).error().code == ErrorCode::unavailable);
  }
  std::atomic<bool> over{false};
  std::jthread asking([&] {
    while (!over) static_cast<void>(client.status());
  });
  for (;;) {
    auto [id, request] = connection.next_request();
    if (const auto* release = std::get_if<protocol::Release>(&request)) {
      CHECK(release->blobs == std::vector<std::uint64_t>{70});
      break;
    }
    if (const auto* put = std::get_if<protocol::Put>(&request)) CHECK(put->key == key_named("filler").bytes());
    connection.send(id, protocol::Refused{ErrorCode::invalid_argument, "no"});
  }
  over = true;
  connection.close();
  p.daemon.stop_listening();
}

TEST_CASE("a builder goes on when its connection has changed") {
  Played p;
  std::jthread putting([&] {
    ValueBuilder builder = p.client->builder();
    REQUIRE(builder.add("a", std::string(large, 'a')).ok());
    REQUIRE(builder.add("b", std::string(large, 'b')).ok());
    CHECK(*p.client->put(key_named("moved").bytes(), std::move(builder)) == 9);
  });
  const auto answer = [&](std::uint64_t blob) {
    const auto asked = p.connection->expect<protocol::Reserve>();
    Descriptor file = sealed_file(asked.message.bytes, reserved);
    p.send_blob(asked.id, {blob, asked.message.bytes, blob}, file);
    return file;
  };
  answer(70);
  p.connection->expect<protocol::Reserve>();
  p.connection->close();
  FakeNamespace restarted(2);
  p.connection.emplace(p.daemon.welcome(restarted));
  answer(80);
  const Descriptor copy = answer(81);
  const auto put = p.connection->expect<protocol::Put>();
  REQUIRE(put.message.parts.size() == 2);
  CHECK(put.message.parts[0].blob == 81);
  CHECK(put.message.parts[1].blob == 80);
  char first = 0;
  CHECK(::pread(copy.number(), &first, 1, 0) == 1);
  CHECK(first == 'a');
  p.connection->send(put.id, protocol::Published{9, true});
}
