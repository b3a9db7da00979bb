#include "disk/part_files.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <system_error>

#include "disk/long_hash.hpp"

namespace onced::disk {
namespace {

constexpr std::size_t read_bytes = 256 * 1024;  // hashed while they are in the cache
constexpr std::size_t write_bytes = 1 << 20;     // that are sealed at a time
constexpr std::size_t id_digits = 16;
static_assert(sizeof(Digest) == sizeof(SealTag));

std::uint64_t stretch_of(std::uint32_t number) { return 1 + std::uint64_t{number}; }  // 0 is the record's

Result<SealTag> write_sealed(File& file, Bytes bytes, const SessionKey& key, std::uint32_t number) {
  Cipher cipher(Cipher::Way::seal, key, stretch_of(number));
  std::vector<std::byte> sealed(std::min(write_bytes, bytes.size()));
  for (std::size_t at = 0; at < bytes.size(); at += write_bytes) {
    const Bytes piece = bytes.subspan(at, std::min(write_bytes, bytes.size() - at));
    const std::span<std::byte> into = std::span(sealed).first(piece.size());
    cipher.update(piece, into);
    if (const auto written = file.write(into, at); !written) return written.error();
  }
  return cipher.tag();
}

}  // namespace

std::string PartFileStore::directory(std::uint64_t id) {
  char text[8];
  std::snprintf(text, sizeof(text), "/%02x", static_cast<unsigned>(id & 0xff));
  return parts_directory + std::string(text);
}

std::string PartFileStore::name(std::uint64_t id, std::uint32_t number) {
  char text[48];
  std::snprintf(text, sizeof(text), "%016llx-%u", static_cast<unsigned long long>(id), number);
  return text;
}

Result<Digest> PartFileStore::write(std::uint64_t id, std::uint32_t number, Bytes bytes, const SessionKey* key) {
  const std::string in = directory(id);
  if (!files_.status(in)) {
    if (const auto made = files_.make_directory(in); !made) return made.error();
    if (std::find(to_sync_.begin(), to_sync_.end(), parts_directory) == to_sync_.end()) to_sync_.emplace_back(parts_directory);
  }
  const std::string path = in + "/" + name(id, number);
  Digest check;
  const auto finish = [&]() -> Result<void> {
    auto file = files_.create(path + ".new");
    if (!file) return file.error();
    if (key == nullptr) {
      check = digest_of(bytes, 0);
      if (const auto written = (*file)->write(bytes, 0); !written) return written;
    } else {
      const auto tag = write_sealed(**file, bytes, *key, number);
      if (!tag) return tag.error();
      check = std::bit_cast<Digest>(*tag);
    }
    if (const auto synced = (*file)->sync(); !synced) return synced;
    return files_.rename(path + ".new", path);
  };
  if (const auto finished = finish(); !finished) {
    static_cast<void>(files_.remove(path + ".new"));  // a full disk should get its room back
    return finished.error();
  }
  if (std::find(to_sync_.begin(), to_sync_.end(), in) == to_sync_.end()) to_sync_.push_back(in);
  return check;
}

Result<void> PartFileStore::sync_directories() {
  for (; !to_sync_.empty(); to_sync_.pop_back()) {  // what fails stays: its directory is there from now on, and nobody would ask for it again
    if (const auto synced = files_.sync_directory(to_sync_.back()); !synced) return synced;
  }
  return {};
}

Result<std::unique_ptr<File>> PartFileStore::open(std::uint64_t id, std::uint32_t number, std::uint64_t bytes) const {
  auto file = files_.open(directory(id) + "/" + name(id, number), false);
  if (!file) return file;
  const auto size = (*file)->size();
  if (!size) return size.error();
  if (*size != bytes) return Error{ErrorCode::malformed, "part file " + name(id, number) + " has another size than its record says"};
  return file;
}

Result<void> PartFileStore::read(std::uint64_t id, std::uint32_t number, std::uint64_t bytes, PieceSink& into, const Digest& content_check,
                                 const SessionKey* key) const {
  const auto file = open(id, number, bytes);
  if (!file) return file.error();
  std::optional<Cipher> cipher;
  if (key != nullptr) cipher.emplace(Cipher::Way::open, *key, stretch_of(number));
  return read(**file, name(id, number), bytes, into, content_check, cipher);
}

Result<void> PartFileStore::check(const File& file, std::uint64_t id, std::uint32_t number, std::uint64_t bytes, const Digest& content_check) const {
  Nowhere nowhere;
  std::optional<Cipher> not_sealed;
  return read(file, name(id, number), bytes, nowhere, content_check, not_sealed);
}

Result<void> PartFileStore::read(const File& file, const std::string& name, std::uint64_t bytes, PieceSink& into, const Digest& content_check,
                                 std::optional<Cipher>& cipher) {
  LongHash hash;
  const auto no_room = [&] { return Error{ErrorCode::out_of_memory, "no memory for a part of " + std::to_string(bytes) + " bytes"}; };
  for (std::uint64_t at = 0; at < bytes; at += read_bytes) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(read_bytes, bytes - at));
    const std::span<std::byte> piece = into.room(wanted);
    if (piece.size() != wanted) return no_room();
    const auto n = file.read(piece, at);
    if (!n) return n.error();
    if (*n != piece.size()) return Error{ErrorCode::malformed, "part file " + name + " ends early"};
    if (cipher) cipher->update(piece, piece);
    else hash.add(piece);
    if (!into.filled(piece)) return no_room();
  }
  if (cipher ? cipher->is_right(std::bit_cast<SealTag>(content_check)) : hash.end() == content_check) return {};
  return Error{ErrorCode::malformed, "part file " + name + " does not have the bytes that were stored"};
}

Result<void> PartFileStore::remove(const PartFiles& parts) {
  for (std::uint32_t number = 0; number < parts.count; ++number) {
    const auto removed = files_.remove(directory(parts.id) + "/" + name(parts.id, number));
    if (!removed && removed.error().code != ErrorCode::not_found) return removed;
  }
  return {};
}

void PartFileStore::set_aside(std::uint64_t id, std::uint32_t number, bool keep) {
  const std::string path = directory(id) + "/" + name(id, number);
  if (keep) static_cast<void>(files_.rename(path, std::string(aside_directory) + "/" + name(id, number)));
  else static_cast<void>(files_.remove(path));
}

Result<PartFileStore::Swept> PartFileStore::sweep(const std::function<std::uint32_t(std::uint64_t)>& wanted) {
  Swept swept;
  const auto directories = files_.list(parts_directory);
  if (!directories) return directories.error();
  if (const auto synced = files_.sync_directory(parts_directory); !synced) return synced.error();  // made before a kill, perhaps
  for (const std::string& each : *directories) {
    const std::string in = std::string(parts_directory) + "/" + each;
    if (const auto access = check_access(files_, in, FileSystem::Kind::directory); !access) return access.error();
    const auto names = files_.list(in);
    if (!names) return names.error();
    for (const std::string& file : *names) {
      std::uint64_t id = 0;
      std::uint32_t number = 0;
      const char* const begin = file.data();
      const char* const end = begin + file.size();
      const bool ours = file.size() > id_digits + 1 && std::from_chars(begin, begin + id_digits, id, 16).ptr == begin + id_digits &&
                        std::from_chars(begin + id_digits + 1, end, number).ec == std::errc() && directory(id) == in &&
                        (file == name(id, number) || file == name(id, number) + ".new");
      if (!ours) {
        return Error{ErrorCode::malformed, in + "/" + file + " is no file of this store: not used, and nothing was touched; move it away"};
      }
      if (file == name(id, number) && number < wanted(id)) {
        ++swept.found[id];
        continue;
      }
      if (const auto removed = files_.remove(in + "/" + file); !removed) return removed.error();
      ++swept.removed;
    }
  }
  return swept;
}

}  // namespace onced::disk
