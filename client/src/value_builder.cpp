#include <onced/value_builder.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <utility>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/segment.hpp>
#include <onced/protocol/utf8.hpp>

#include "builder_state.hpp"
#include "checks.hpp"
#include "errors.hpp"

namespace onced {

using client_detail::Attachment;
using client_detail::AttachmentRef;
using client_detail::Descriptor;
using client_detail::PartTable;
using client_detail::PrivateMemory;
using client_detail::Process;
using client_detail::Reservation;
using client_detail::wrong;

namespace {

std::string in_quotes(std::string_view name) { return "part \"" + std::string(name) + "\""; }

Result<Descriptor> make_file(std::uint64_t bytes) {
  Descriptor file(memfd_create("onced-part", MFD_CLOEXEC));
  if (!file.open() || ftruncate(file.number(), static_cast<off_t>(bytes)) != 0) {
    return Error{ErrorCode::out_of_memory, "no memory for a part of " + std::to_string(bytes) + " bytes: " + std::strerror(errno)};
  }
  return file;
}

std::uint64_t aligned(std::uint64_t offset) {
  return (offset + protocol::value_alignment - 1) / protocol::value_alignment * protocol::value_alignment;
}

}  // namespace

// ---- the public face ------------------------------------------------------------------------------------------------

ValueBuilder::ValueBuilder(std::unique_ptr<State> state) : state_(std::move(state)) {}
ValueBuilder::ValueBuilder(ValueBuilder&&) noexcept = default;
ValueBuilder& ValueBuilder::operator=(ValueBuilder&&) noexcept = default;
ValueBuilder::~ValueBuilder() = default;

Result<std::span<std::byte>> ValueBuilder::reserve(std::string_view name, std::uint64_t bytes, std::string_view content_type) {
  return state_->reserve(name, bytes, content_type);
}
Result<int> ValueBuilder::reserve_descriptor(std::string_view name, std::uint64_t bytes, std::string_view content_type) {
  return state_->reserve_descriptor(name, bytes, content_type);
}
Result<void> ValueBuilder::add(std::string_view name, std::span<const std::byte> bytes, std::string_view content_type) {
  return state_->add(name, bytes, content_type);
}
std::size_t ValueBuilder::part_count() const { return state_->parts.size(); }

Result<void> ValueBuilder::set_size(std::string_view name, std::uint64_t used) {
  State::DraftPart* const part = state_->find(name);
  if (part == nullptr) return wrong("there is no " + in_quotes(name) + " to set the size of");
  if (used > part->reserved) {
    return wrong(in_quotes(name) + " cannot have " + std::to_string(used) + " bytes, " + std::to_string(part->reserved) + " were reserved");
  }
  part->used = used;
  return {};
}

// ---- collecting -----------------------------------------------------------------------------------------------------

ValueBuilder::State::State(Client::State& of_client, std::string_view of_key)
    : client(of_client), key(of_key), right_key(key.empty() ? Result<void>() : client_detail::check_key_given(key)), falls_back(false), process(&Process::here()) {}
ValueBuilder::State::State(Client::State& of_client, std::string_view of_key, AttachmentRef over)
    : client(of_client), key(of_key), attachment(std::move(over)), falls_back(true), process(&Process::here()) {}

std::uint64_t ValueBuilder::State::inline_bytes_max() const {
  return std::min<std::uint64_t>(client.options.inline_bytes_max, limits::value_bytes_max);
}

ValueBuilder::State::DraftPart* ValueBuilder::State::find(std::string_view name) {
  const auto found = std::find_if(parts.begin(), parts.end(), [name](const DraftPart& part) { return part.name == name; });
  return found == parts.end() ? nullptr : &*found;
}

Result<void> ValueBuilder::State::check_own() const {
  if (process == Process::current()) return {};
  return wrong("this value was begun before a fork; only the process that began it can go on");
}

Result<void> ValueBuilder::State::check_new(std::string_view name, std::string_view content_type) const {
  if (auto right = check_own(); !right) return right;
  if (!right_key) return right_key;
  if (name.size() > limits::part_name_bytes_max) {
    return wrong("part name of " + std::to_string(name.size()) + " bytes > " + std::to_string(limits::part_name_bytes_max));
  }
  if (!protocol::is_utf8(name)) return wrong("the name of a part is not UTF-8");
  if (auto right = client_detail::check_content_type(content_type); !right) return right;
  if (parts.size() >= limits::parts_max) {
    return Error{ErrorCode::limit_reached, "more than " + std::to_string(limits::parts_max) + " parts in a value"};
  }
  const auto same = [name](const DraftPart& part) { return part.name == name; };
  if (std::any_of(parts.begin(), parts.end(), same)) return wrong("there is a " + in_quotes(name) + " already");
  return {};
}

// Memory of the daemon for a part. Over a new connection when the present one is broken, but for a computation's: its
// lease is of that one.
Result<Reservation> ValueBuilder::State::reserve_blob(std::uint64_t bytes, Reservation::Content content) {
  for (bool again = false;; again = true) {
    if (!falls_back && attachment_in_use() == nullptr) {
      auto connected = client.connector_here().attachment(client_detail::deadline_in(client.options.connect_timeout));
      if (!connected) return connected.error();
      attachment = std::move(*connected);
    }
    if (!attachment) return Error{ErrorCode::unavailable, "there is no daemon to reserve memory from"};
    auto made = Reservation::make(*attachment, bytes, content, key);
    if (made.ok() || again || falls_back || !attachment->channel.broken()) return made;
  }
}

Result<std::span<std::byte>> ValueBuilder::State::reserve(std::string_view name, std::uint64_t bytes, std::string_view content_type) {
  if (auto right = check_new(name, content_type); !right) return right.error();
  DraftPart part{std::string(name), std::string(content_type), bytes, bytes, {}, {}, {}};
  if (bytes > inline_bytes_max()) {
    auto blob = reserve_blob(bytes, Reservation::Content::to_come);
    if (blob.ok()) {
      auto memory = blob->map();
      if (!memory) return memory.error();
      part.blob = std::move(*blob);
      parts.push_back(std::move(part));
      return memory;
    }
    if (!falls_back) return blob.error();
  }
  auto memory = PrivateMemory::make(bytes);
  if (!memory) return memory.error();
  part.memory = std::move(*memory);
  parts.push_back(std::move(part));
  return parts.back().memory.bytes();
}

Result<int> ValueBuilder::State::reserve_descriptor(std::string_view name, std::uint64_t bytes, std::string_view content_type) {
  if (auto right = check_new(name, content_type); !right) return right.error();
  DraftPart part{std::string(name), std::string(content_type), bytes, bytes, {}, {}, {}};
  if (bytes > inline_bytes_max()) {
    auto blob = reserve_blob(bytes, Reservation::Content::to_come);
    if (blob.ok()) {
      part.blob = std::move(*blob);
      parts.push_back(std::move(part));
      return parts.back().blob->descriptor();
    }
    if (!falls_back) return blob.error();
  }
  auto file = make_file(bytes);
  if (!file) return file.error();
  part.file = std::move(*file);
  parts.push_back(std::move(part));
  return parts.back().file.number();
}

// Large ones by write(): about twice as fast as storing through a new mapping.
Result<void> ValueBuilder::State::add(std::string_view name, std::span<const std::byte> bytes, std::string_view content_type) {
  if (auto right = check_new(name, content_type); !right) return right.error();
  DraftPart part{std::string(name), std::string(content_type), bytes.size(), bytes.size(), {}, {}, {}};
  if (bytes.size() > inline_bytes_max()) {
    auto blob = reserve_blob(bytes.size(), Reservation::Content::ready);
    auto written = blob.ok() ? blob->write(0, bytes) : Result<void>(blob.error());
    if (written.ok()) {
      part.blob = std::move(*blob);
      parts.push_back(std::move(part));
      return {};
    }
    if (!falls_back) return written.error();
  }
  auto memory = PrivateMemory::copy_of(bytes);
  if (!memory) return memory.error();
  part.memory = std::move(*memory);
  parts.push_back(std::move(part));
  return {};
}

void ValueBuilder::State::set_default_content_type(std::string_view content_type) {
  DraftPart* const unnamed = find({});
  if (unnamed != nullptr && unnamed->content_type.empty()) unnamed->content_type = content_type;
}

Attachment* ValueBuilder::State::attachment_in_use() const {
  return attachment && !attachment->channel.broken() ? attachment.get() : nullptr;
}

// ---- placing --------------------------------------------------------------------------------------------------------

// What lies in files of this process or in memory of another connection becomes memory of this process; parts of which
// nothing is used need none.
Result<void> ValueBuilder::State::bring_home(Attachment& over) {
  for (DraftPart& part : parts) {
    if (part.file.open()) {
      auto mapping = client_detail::map(part.file, in_quotes(part.name), part.reserved, PROT_READ, MAP_PRIVATE);
      if (!mapping) return mapping.error();
      part.memory = PrivateMemory(std::move(*mapping));
      part.file.reset();
    }
    if (part.blob && part.used == 0) part.blob.reset();
    if (part.blob && &part.blob->attachment() != &over) {
      auto memory = part.blob->private_view();
      if (!memory) return memory.error();
      part.memory = std::move(*memory);
      part.blob.reset();
    }
  }
  packed.reset();
  return {};
}

Result<std::vector<protocol::Part>> ValueBuilder::State::place(Attachment& over) {
  if (auto home = bring_home(over); !home) return home.error();
  std::vector<protocol::Part> placed(parts.size());
  std::vector<std::size_t> small;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    DraftPart& part = parts[i];
    placed[i].name = part.name;
    placed[i].content_type = part.content_type;
    if (!part.blob && part.used > inline_bytes_max()) {
      // There was no memory when it was asked for. There may be now.
      auto blob = Reservation::make(over, part.used, Reservation::Content::ready, key);
      auto written = blob.ok() ? blob->write(0, part.memory.bytes().first(part.used)) : Result<void>(blob.error());
      if (!written) return written.error();
      part.blob = std::move(*blob);
      part.memory = PrivateMemory();
    }
    if (!part.blob) {
      small.push_back(i);
      continue;
    }
    placed[i].blob = part.blob->blob();
    placed[i].length = part.used;
  }
  if (auto done = pack(over, small, placed); !done) return done.error();
  for (DraftPart& part : parts) {
    if (!part.blob) continue;
    if (auto sealed = part.blob->seal(); !sealed) return sealed.error();
  }
  return placed;
}

// The smallest travel in the request, as many as fit; the others share a blob.
Result<void> ValueBuilder::State::pack(Attachment& over, const std::vector<std::size_t>& small, std::vector<protocol::Part>& placed) {
  std::vector<std::size_t> by_size = small;
  std::stable_sort(by_size.begin(), by_size.end(), [this](std::size_t a, std::size_t b) { return parts[a].used < parts[b].used; });
  std::uint64_t inline_bytes = 0;
  std::uint64_t packed_bytes = 0;
  std::vector<std::size_t> to_pack;
  for (const std::size_t i : by_size) {
    const auto bytes = parts[i].memory.bytes().first(parts[i].used);
    if (inline_bytes + bytes.size() <= inline_bytes_max()) {
      inline_bytes += bytes.size();
      placed[i].bytes.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      continue;
    }
    to_pack.push_back(i);
    placed[i].offset = aligned(packed_bytes);
    placed[i].length = bytes.size();
    packed_bytes = placed[i].offset + placed[i].length;
  }
  if (to_pack.empty()) return {};
  auto blob = Reservation::make(over, packed_bytes, Reservation::Content::ready, key);
  if (!blob) return blob.error();
  for (const std::size_t i : to_pack) {
    placed[i].blob = blob->blob();
    if (auto written = blob->write(placed[i].offset, parts[i].memory.bytes().first(parts[i].used)); !written) return written;
  }
  if (auto sealed = blob->seal(); !sealed) return sealed;
  packed = std::move(*blob);
  return {};
}

void ValueBuilder::State::named() {
  for (DraftPart& part : parts) {
    if (part.blob) part.blob->named();
  }
  if (packed) packed->named();
}

Result<std::unique_ptr<PartTable>> ValueBuilder::State::take_parts() {
  auto table = std::make_unique<PartTable>();
  for (DraftPart& part : parts) {
    if (part.file.open()) {
      auto mapping = client_detail::map(part.file, in_quotes(part.name), part.reserved, PROT_READ, MAP_PRIVATE);
      if (!mapping) return mapping.error();
      part.memory = PrivateMemory(std::move(*mapping));
    }
    if (!part.blob) {
      table->add(part.name, part.content_type, std::move(part.memory), part.used);
      continue;
    }
    auto view = part.blob->view();
    if (!view) return view.error();
    table->add_in_blob(part.name, part.content_type, part.blob->blob(), 0, part.used);
    table->add_view(part.blob->blob(), std::move(*view));
  }
  parts.clear();
  packed.reset();
  return table;
}

}  // namespace onced
