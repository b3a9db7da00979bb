#include "fake_daemon.hpp"

namespace onced::testing {

SharedMemory::SharedMemory(const char* name, std::size_t size, int seals) : bytes(size) {
  descriptor = client_detail::Descriptor(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (ftruncate(descriptor.number(), static_cast<off_t>(size)) != 0) throw std::runtime_error("ftruncate");
  address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.number(), 0);
  if (address == MAP_FAILED || fcntl(descriptor.number(), F_ADD_SEALS, seals) != 0) throw std::runtime_error("memfd");
}

SharedMemory::~SharedMemory() { munmap(address, bytes); }

FakeConnection::FakeConnection(int descriptor) : socket_(descriptor), reader_(limits::frame_payload_bytes_max) {}

std::pair<protocol::RequestId, protocol::Request> FakeConnection::next_request() {
  for (;;) {
    auto frame = reader_.next();
    if (!frame) throw std::runtime_error(frame.error().text);
    if (frame->has_value()) {
      auto request = protocol::decode_request((*frame)->header.type, (*frame)->payload);
      if (!request) throw std::runtime_error(request.error().text);
      return {(*frame)->header.request_id, std::move(*request)};
    }
    const std::size_t bytes = receive();
    if (bytes == 0) throw std::runtime_error("the client closed");
  }
}

void FakeConnection::expect_closed() {
  while (receive() > 0) {
    for (auto frame = reader_.next(); frame.ok() && frame->has_value(); frame = reader_.next()) {
    }
  }
}

bool FakeConnection::readable() const {
  pollfd entry{socket_.number(), POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0;
}

void FakeConnection::send(protocol::RequestId id, const protocol::Reply& reply) { send_raw(frame(id, reply)); }

std::string FakeConnection::frame(protocol::RequestId id, const protocol::Reply& reply) {
  std::string bytes;
  protocol::encode(id, reply, bytes);
  return bytes;
}

void FakeConnection::send_raw(std::string_view bytes, const std::vector<int>& descriptors) {
  while (!bytes.empty()) {
    iovec vector{const_cast<char*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
      std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size() * sizeof(int));
    }
    const ssize_t sent = ::sendmsg(socket_.number(), &message, MSG_NOSIGNAL);
    if (sent < 0) throw std::runtime_error(std::string("send: ") + std::strerror(errno));
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void FakeConnection::close() { socket_ = client_detail::Descriptor(); }

int FakeConnection::descriptor() const { return socket_.number(); }

std::size_t FakeConnection::receive() {
  pollfd entry{socket_.number(), POLLIN, 0};
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(watchdog_limit).count();
  if (::poll(&entry, 1, static_cast<int>(limit)) <= 0) throw std::runtime_error("watchdog: the client sends nothing");
  const auto room = reader_.room();
  const ssize_t bytes = ::recv(socket_.number(), room.data(), room.size(), 0);
  if (bytes < 0 && errno == ECONNRESET) return 0;
  if (bytes < 0) throw std::runtime_error(std::string("receive: ") + std::strerror(errno));
  reader_.received(static_cast<std::size_t>(bytes));
  return static_cast<std::size_t>(bytes);
}

FakeNamespace::FakeNamespace(std::uint64_t epoch) : segment("segment", 1024 * 1024, segment_seals), pins("pins", sizeof(protocol::PinPage), pin_page_seals) {
  auto made = memory::SegmentStore::create({static_cast<std::byte*>(segment.address), segment.bytes}, 42, epoch, {},
                                           memory::kernel_reader_barrier());
  if (!made) throw std::runtime_error(made.error().text);
  store = std::move(*made);
  page = new (pins.address) protocol::PinPage{};
  page->magic = protocol::pin_page_magic;
  page->layout_version = protocol::pin_page_layout_version;
  store->add_page(connection, *page);
  welcome.protocol_version = limits::protocol_version;
  welcome.epoch = epoch;
  welcome.segment_bytes = segment.bytes;
  welcome.pin_page_bytes = pins.bytes;
}

engine::RecordRef FakeNamespace::place(const Key& key, std::string bytes) { return place(key, std::move(bytes), Life()); }

engine::RecordRef FakeNamespace::place(const Key& key, std::string bytes, const Life& life, std::optional<engine::RecordRef> replaces) {
  const std::vector<protocol::Part> parts{{"", "text/plain", std::move(bytes)}};
  engine::RecordImage image;
  image.key = key.bytes();
  image.parts = &parts;
  image.version = life.version;
  image.fresh_until_ms = life.fresh_until_ms;
  image.early_ms = life.early_ms;
  image.grace_ms = life.grace_ms;
  const engine::RecordRef record = store->place(image, replaces).record;
  if (life.refreshing) store->set_refreshing(record, true);
  return record;
}

void FakeNamespace::die() { store->life_word().store(protocol::life_owner_died, std::memory_order_release); }

std::size_t FakeNamespace::pins_set() const {
  std::size_t count = 0;
  for (std::uint32_t pin = 0; pin < protocol::client_pins + protocol::granted_pins; ++pin) {
    count += protocol::pin_at(*page, pin).load() != 0;
  }
  return count;
}

std::vector<int> FakeNamespace::descriptors() const { return {segment.descriptor.number(), pins.descriptor.number()}; }

FakeDaemon::FakeDaemon() : path_((directory_ / "fake.sock").string()) { listen(); }

void FakeDaemon::listen() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  ::unlink(path_.c_str());
  listener_ = client_detail::Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(listener_.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener_.number(), 64) != 0) {
    throw std::runtime_error(std::string("listen: ") + std::strerror(errno));
  }
}

void FakeDaemon::stop_listening() { listener_ = client_detail::Descriptor(); }

bool FakeDaemon::somebody_connects() const {
  pollfd entry{listener_.number(), POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0;
}

FakeConnection FakeDaemon::accept() {
  pollfd entry{listener_.number(), POLLIN, 0};
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(watchdog_limit).count();
  if (::poll(&entry, 1, static_cast<int>(limit)) <= 0) throw std::runtime_error("watchdog: nobody connects");
  return FakeConnection(::accept4(listener_.number(), nullptr, nullptr, SOCK_CLOEXEC));
}

FakeConnection FakeDaemon::welcome(const FakeNamespace& space) {
  FakeConnection connection = accept();
  const auto hello = connection.expect<protocol::Hello>();
  connection.send_raw(FakeConnection::frame(hello.id, space.welcome), space.descriptors());
  return connection;
}

}  // namespace onced::testing
