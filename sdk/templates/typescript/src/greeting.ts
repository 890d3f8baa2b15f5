export function greeting(path: string, name: string | null): string {
  return `Hello, ${name ?? "world"}! This is TypeScript, and you asked for ${path}\n`;
}
