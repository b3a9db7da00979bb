#include "memory_files.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace onced::testing {

void MemoryDisk::arm(std::size_t at, std::size_t count, Fault kind) {
  fail_at = at;
  fail_count = count;
  fault = kind;
  counted = failed = 0;
}

bool MemoryDisk::fails() {
  const std::size_t number = counted++;
  if (!fail_at || number < *fail_at || number >= *fail_at + fail_count) return false;
  ++failed;
  return true;
}

Image MemoryDisk::image() const {
  Image all;
  for (const auto& [path, mode] : directories) all[path] = Node{true, mode, {}};
  for (const auto& [path, inode] : names) all[path] = Node{false, 0600, inodes[inode].content};
  return all;
}

std::string MemoryDisk::parent(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

void MemoryDisk::put(std::string& content, std::uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return;
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  std::memcpy(content.data() + offset, bytes.data(), bytes.size());
}

Image MemoryDisk::after(std::size_t n, Loss loss, std::mt19937_64& random) const {
  // Which data operations are safe: those before the last sync of their file within the first n.
  std::vector<std::size_t> synced(inodes.size(), 0);
  std::map<std::string, std::size_t> directory_synced;
  for (std::size_t i = 0; i < n; ++i) {
    if (log[i].kind == Operation::Kind::sync) synced[log[i].inode] = i;
    if (log[i].kind == Operation::Kind::sync_directory) directory_synced[log[i].path] = i;
  }
  std::map<std::string, std::size_t> cut;  // by directory, or by directory and name: from this operation on its changes are lost
  std::map<std::string, bool> by_name;
  const auto lost = [&](const std::string& path, std::size_t i) {
    if (loss == Loss::nothing) return false;
    const std::string in = parent(path);
    const auto safe = directory_synced.find(in);
    if (safe != directory_synced.end() && i < safe->second) return false;
    if (loss == Loss::all_unsynced) return true;
    if (!by_name.contains(in)) by_name[in] = random() % 2 == 0;
    const std::string group = by_name[in] ? stem(path) : in + "/*";
    if (!cut.contains(group)) cut[group] = random() % 3 == 0 ? n : i + random() % (n - i + 1);
    return i >= cut[group];
  };
  Image image = start;
  std::map<std::string, std::size_t> named;  // path -> inode of this replay
  std::vector<std::string> contents(inodes.size());
  std::size_t next = 0;
  for (const auto& [path, node] : start) {
    if (!node.directory) {
      contents[next] = node.content;
      named[path] = next++;
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    const Operation& operation = log[i];
    const bool data_safe = i < synced[operation.inode];
    switch (operation.kind) {
      case Operation::Kind::create:
        if (!lost(operation.path, i)) named[operation.path] = operation.inode;
        break;
      case Operation::Kind::write: {
        if (data_safe || loss == Loss::nothing) {
          put(contents[operation.inode], operation.offset, operation.bytes);
        } else if (loss == Loss::random) {
          std::string bytes = operation.bytes;
          switch (random() % 4) {
            case 0: break;                                          // whole
            case 1: bytes.clear(); break;                           // missing
            case 2: bytes.resize(random() % (bytes.size() + 1)); break;  // its first part
            default:                                                // some of its sectors, the others as they were
              for (std::size_t at = 0; at < bytes.size();) {
                const std::size_t sector = std::min<std::size_t>(512 - (operation.offset + at) % 512, bytes.size() - at);
                if (random() % 2 == 0) put(contents[operation.inode], operation.offset + at, std::string_view(bytes).substr(at, sector));
                at += sector;
              }
              bytes.clear();
          }
          put(contents[operation.inode], operation.offset, bytes);
        }
        break;
      }
      case Operation::Kind::truncate:
        if (data_safe || loss == Loss::nothing || (loss == Loss::random && random() % 2 == 0)) contents[operation.inode].resize(operation.offset);
        break;
      case Operation::Kind::make_directory:
        if (!lost(operation.path, i)) image[operation.path] = Node{true, 0700, {}};
        break;
      case Operation::Kind::rename:
        if (lost(operation.to, i)) break;
        if (image.contains(operation.path)) move_below(operation.path, operation.to, image, named);
        if (named.contains(operation.path)) {
          named[operation.to] = named[operation.path];
          named.erase(operation.path);
        }
        break;
      case Operation::Kind::remove:
        if (!lost(operation.path, i)) {
          named.erase(operation.path);
          image.erase(operation.path);
        }
        break;
      default: break;
    }
  }
  for (auto at = image.begin(); at != image.end();) at = at->second.directory ? std::next(at) : image.erase(at);
  for (const auto& [path, inode] : named) {
    if (image.contains(parent(path))) image[path] = Node{false, 0600, contents[inode]};
  }
  for (auto at = image.begin(); at != image.end();) {  // below a directory that is not there
    at = at->first.empty() || image.contains(parent(at->first)) ? std::next(at) : image.erase(at);
  }
  return image;
}

Result<std::size_t> MemoryFile::read(std::span<std::byte> into, std::uint64_t offset) const {
  if (disk_->unreadable.contains(inode_) || (disk_->fail_reads && disk_->fails())) return MemoryDisk::error();
  const std::string& content = disk_->inodes[inode_].content;
  if (offset >= content.size()) return std::size_t{0};
  const std::size_t n = std::min<std::size_t>(into.size(), content.size() - offset);
  if (n != 0) std::memcpy(into.data(), content.data() + offset, n);
  return n;
}

Result<void> MemoryFile::write(std::span<const std::byte> bytes, std::uint64_t offset) {
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const bool fails = disk_->fails();
  if (fails && disk_->fault != Fault::half_written) return MemoryDisk::error();
  if (fails) text.resize(text.size() / 2);
  MemoryDisk::put(disk_->inodes[inode_].content, offset, text);
  disk_->log.push_back({.kind = Operation::Kind::write, .path = {}, .to = {}, .inode = inode_, .offset = offset, .bytes = std::move(text)});
  if (fails) return MemoryDisk::error();
  return {};
}

Result<void> MemoryFile::sync() {
  if (sync_failed_) throw std::logic_error("a second sync on a file for which one failed");
  if (disk_->fails()) {
    sync_failed_ = true;
    return MemoryDisk::error();
  }
  disk_->log.push_back({.kind = Operation::Kind::sync, .path = {}, .to = {}, .inode = inode_, .bytes = {}});
  return {};
}

Result<void> MemoryFile::truncate(std::uint64_t size) {
  if (disk_->fails()) return MemoryDisk::error();
  disk_->inodes[inode_].content.resize(size);
  disk_->log.push_back({.kind = Operation::Kind::truncate, .path = {}, .to = {}, .inode = inode_, .offset = size, .bytes = {}});
  return {};
}

Result<disk::FileSystem::Status> MemoryFiles::status(const std::string& path) const {
  if (const auto found = disk_->directories.find(path); found != disk_->directories.end()) return Status{Kind::directory, found->second, true, 0};
  const auto found = disk_->names.find(path);
  if (found == disk_->names.end()) return missing(path);
  return Status{Kind::file, 0600, true, disk_->inodes[found->second].content.size()};
}

Result<std::vector<std::string>> MemoryFiles::list(const std::string& directory) const {
  if (!disk_->directories.contains(directory)) return missing(directory);
  std::vector<std::string> found;
  const auto look = [&](const std::string& path) {
    if (!path.empty() && MemoryDisk::parent(path) == directory) found.push_back(directory.empty() ? path : path.substr(directory.size() + 1));
  };
  for (const auto& [path, mode] : disk_->directories) look(path);
  for (const auto& [path, inode] : disk_->names) look(path);
  return found;
}

Result<std::unique_ptr<disk::File>> MemoryFiles::open(const std::string& path, bool) {
  const auto found = disk_->names.find(path);
  if (found == disk_->names.end()) return missing(path);
  return std::unique_ptr<disk::File>(std::make_unique<MemoryFile>(disk_, found->second));
}

Result<std::unique_ptr<disk::File>> MemoryFiles::create(const std::string& path) {
  if (disk_->fails()) return MemoryDisk::error();
  const auto found = disk_->names.find(path);
  if (found != disk_->names.end()) {  // O_TRUNC
    disk_->inodes[found->second].content.clear();
    disk_->log.push_back({.kind = Operation::Kind::truncate, .path = {}, .to = {}, .inode = found->second, .offset = 0, .bytes = {}});
    return open(path, true);
  }
  disk_->names[path] = disk_->inodes.size();
  disk_->inodes.emplace_back();
  disk_->log.push_back({.kind = Operation::Kind::create, .path = path, .to = {}, .inode = disk_->names[path], .bytes = {}});
  return open(path, true);
}

Result<void> MemoryFiles::make_directory(const std::string& path) {
  if (disk_->directories.contains(path)) return {};
  if (disk_->fails()) return MemoryDisk::error();
  disk_->directories[path] = 0700;
  disk_->log.push_back({.kind = Operation::Kind::make_directory, .path = path, .to = {}, .bytes = {}});
  return {};
}

Result<void> MemoryFiles::rename(const std::string& from, const std::string& to) {
  if (disk_->directories.contains(from)) return rename_directory(from, to);
  const auto found = disk_->names.find(from);
  if (found == disk_->names.end()) return missing(from);
  if (disk_->fails()) return MemoryDisk::error();
  disk_->names[to] = found->second;
  disk_->names.erase(from);
  disk_->log.push_back({.kind = Operation::Kind::rename, .path = from, .to = to, .bytes = {}});
  return {};
}

Result<void> MemoryFiles::remove(const std::string& path) {
  const bool is_directory = disk_->directories.contains(path);
  if (!is_directory && !disk_->names.contains(path)) return missing(path);
  if (disk_->fails() || (is_directory && !list(path)->empty())) return MemoryDisk::error();
  disk_->names.erase(path);
  disk_->directories.erase(path);
  disk_->log.push_back({.kind = Operation::Kind::remove, .path = path, .to = {}, .bytes = {}});
  return {};
}

Result<void> MemoryFiles::sync_directory(const std::string& path) {
  if (disk_->fails()) return MemoryDisk::error();
  disk_->log.push_back({.kind = Operation::Kind::sync_directory, .path = path, .to = {}, .bytes = {}});
  return {};
}

Result<std::unique_ptr<disk::Lock>> MemoryFiles::lock(const std::string& path) {
  if (disk_->locked) return Error{ErrorCode::limit_reached, "in use"};
  if (!disk_->names.contains(path)) {
    if (const auto made = create(path); !made) return made.error();
  }
  disk_->locked = true;
  return std::unique_ptr<disk::Lock>(std::make_unique<MemoryLock>(disk_));
}

Result<void> MemoryFiles::rename_directory(const std::string& from, const std::string& to) {
  if (disk_->fails()) return MemoryDisk::error();
  MemoryDisk::move_below(from, to, disk_->directories, disk_->names);
  disk_->log.push_back({.kind = Operation::Kind::rename, .path = from, .to = to, .bytes = {}});
  return {};
}

}  // namespace onced::testing
