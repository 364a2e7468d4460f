/** A member's answer is input like any other: what is taken of it has the schema's types, and the order of what was asked. */
import {
  type GraphQLOutputType,
  type GraphQLSchema,
  isEnumType,
  isListType,
  isNonNullType,
  isObjectType,
  isScalarType,
} from "graphql";
import type { Selection } from "../document.ts";
import { schema } from "../schema.ts";
import { MemberFault } from "./contract.ts";

/** @throws MemberFault that says where it is not what it should be */
export function shaped(selection: Selection, type: GraphQLOutputType, value: unknown, path: string): unknown {
  if (isNonNullType(type)) {
    if (value == null) throw new MemberFault(`${path} is missing`);
    return shaped(selection, type.ofType, value, path);
  }
  if (value === null) return null;
  if (value === undefined) throw new MemberFault(`${path} is missing`);
  if (isListType(type)) {
    if (!Array.isArray(value)) throw new MemberFault(`${path} is not a list`);
    return value.map((item, index) => shaped(selection, type.ofType, item, `${path}[${index}]`));
  }
  if (isObjectType(type)) return shapedFields(selection.fields, type.name, value, path);
  if (isLeaf(type, value)) return value;
  throw new MemberFault(`${path} is not ${type}`);
}

export function shapedFields(fields: readonly Selection[], typeName: string, value: unknown, path: string): object {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new MemberFault(`${path} is not an object`);
  return Object.fromEntries(
    fields.map((field) => [
      field.key,
      field.name === "__typename"
        ? typeName
        : shaped(
            field,
            typeOf(typeName, field.name),
            (value as Record<string, unknown>)[field.key],
            `${path}.${field.key}`,
          ),
    ]),
  );
}

export function typeOf(parent: string, field: string, of: GraphQLSchema = schema): GraphQLOutputType {
  const type = of.getType(parent);
  const found = isObjectType(type) ? type.getFields()[field]?.type : undefined;
  if (found === undefined) throw new Error(`the schema has no ${parent}.${field}`);
  return found;
}

function isLeaf(type: GraphQLOutputType, value: unknown): boolean {
  if (isEnumType(type)) return typeof value === "string";
  if (!isScalarType(type)) return false;
  if (type.name === "Int") return Number.isInteger(value);
  if (type.name === "Boolean") return typeof value === "boolean";
  return typeof value === "string";
}
